"""How far a judge's numbers can be trusted: canaries, agreement, bridge, self-preference."""
