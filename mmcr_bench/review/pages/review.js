"use strict";
const form = document.getElementById("mark");
const flags = form ? [...form.querySelectorAll("input[name=flag]")] : [];
const note = form ? form.querySelector("textarea") : null;

let left = form ? Number(document.getElementById("submit").dataset.wait) : 0; // seconds until a mark may be stored
if (left > 0) {
  document.getElementById("submit").disabled = true;
  const clock = setInterval(() => {
    left -= 1;
    if (left <= 0) {
      clearInterval(clock);
      document.getElementById("submit").disabled = false;
    }
    tell();
  }, 1000);
}

function tell() {
  const set = flags.filter((flag) => flag.checked).map((flag) => flag.value);
  const what = set.length ? `Flag (${set.length}): ${set.join(", ")}` : "Pass: nothing is flagged";
  document.getElementById("verdict").textContent = left > 0 ? `${what} - in ${left} s` : `${what}, then next item`;
}

function submit() {
  const button = document.getElementById("submit");
  if (!button.disabled) {
    form.requestSubmit();
    button.disabled = true; // a second Enter must not mark the next item unseen
  }
}

for (const flag of flags) flag.addEventListener("change", tell);
if (form) tell();
for (const link of document.querySelectorAll(".image")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    link.classList.toggle("large");
  });
}
addEventListener("pageshow", () => {
  const button = document.getElementById("submit");
  if (button) button.disabled = left > 0;
  if (form) tell(); // the browser may have restored flags
});

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.altKey || event.metaKey) return;
  if (event.key === "Enter" && event.ctrlKey && form) return submit();
  if (event.target === note) {
    if (event.key === "Escape") note.blur();
    return;
  }
  if (event.ctrlKey || ["INPUT", "BUTTON", "A", "SUMMARY"].includes(event.target.tagName) && event.key === "Enter") return;
  const number = Number(event.key);
  if (number >= 1 && number <= flags.length) flags[number - 1].click();
  else if (event.key === "Enter" && form) submit();
  else if (event.key === "n" && note) { event.preventDefault(); note.focus(); }
  else if (event.key === "e") {
    const examples = [...document.querySelectorAll(".criterion details")];
    const open = !examples.every((one) => one.open);
    for (const one of examples) one.open = open;
  }
  else if (event.key === "z") document.body.classList.toggle("large");
  else if (event.key === "u" && document.getElementById("undo")) document.getElementById("undo").click();
});
