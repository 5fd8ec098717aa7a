"""md5 sums of published tables and pinned revisions of the Hub: which version of a benchmark's labels a run reads.

Source of the sums: the DATASET_MD5 tables of VLMEvalKit (commit e8e78f05, 18 August 2026), and their history.
Source of the revisions: public code that loads the same id at them (searched in November 2026), two or more
repositories each; one for MM-MT-Bench, CountBenchQA, MMVet, RealWorldQA and SEED-Bench. lmms-lab-encoder's sets are
lmms-lab's, moved with their history. MMMU_Pro's is of after July 2026, when its labels changed.
"""

from __future__ import annotations

PUBLISHED = dict(
    line.split()
    for line in """
AI2D_TEST 0f593e0d1c7df9a3d69bf1f947e71975
AI2D_TEST_NO_MASK fd8f463634d4fe9fbd23b876e8eea5be
BLINK d5e8af148b10ac69f535ff7b23f3f989
BLINK_circular f44c9f19afda14262cd1e0731bd01f9e
CCBench f5dde47f24dc5a6fb6e595b409b466ac
CV-Bench-2D a7cff4cc2857cc237ee2b89e62bccb2d
CV-Bench-3D bb94c0d568d652d15b60e001ac40a170
ChartQA_TEST c902e0aa9be5582a7aad6dcf52734b42
DocVQA_TEST 6a2f28cac26ef2d3447374e8c6f6c8e9
DocVQA_VAL d5ee77e1926ff10690d469c56b73eabf
HallusionBench 0c23ac0dc9ef46832d7a24504f2a0c7c
InfoVQA_TEST df535bf51b88dc9718252c34131a6227
InfoVQA_VAL 2342e9c225222f0ef4dec545ebb126fe
LogicVista 41c5d33adf33765c399e0e6ae588c061
MMBench_DEV_EN b6caf1133a01c6bb705cf753bb527ed8
MMBench_DEV_EN_V11 30c05be8f2f347a50be25aa067248184
MMBench_TEST_EN 6939fadb0ce626fefc0bdc9c64efc528
MMBench_TEST_EN_V11 8d1a704e791df6f5d9fb3ef782b65365
MMDU 848b635a88a078f49aebcc6e39792061
MME b36b43c3f09801f5d368627fb92187c3
MMMU_DEV_VAL 585e8ad75e73f75dcad265dfd0417d64
MMMU_Pro_10c 22cee868fe6b680d14b99bfff6db8172
MMMU_Pro_V d01441a87b3dbe721b5a04652ae38009
MMMU_TEST c19875d11a2d348d07e5eb4bdf33166d
MMStar e1ecd2140806c1b1bbf54b43372efb9e
MMT-Bench_ALL b273a2f4c596fe4f2605de0494cd632f
MMT-Bench_ALL_MI 5272157097e19cdd7cb41e412ab3b7c7
MMT-Bench_VAL 8dd4b730f53dbf9c3aed90ca31c928e0
MMT-Bench_VAL_MI c7d7b998eb5cd9aa36c7d4f721472462
MMVet 748aa6d4aa9d4de798306a63718455e3
MM_NIAH_TEST f490eb2a43096307465fe9e7ef13497c
MM_NIAH_VAL 27e5a8c3cef7746cb38f89cd86c474c5
MUIRBench 2e5e6fd7699761b08a7cb3ab8c0c2ec8
MathVerse_MINI 5017caca32b7fa110c350a1bea861b65
MathVerse_MINI_Text_Dominant 4f5cd2fa6630ea00bb11d6fde1f6fe6a
MathVerse_MINI_Text_Lite 19e4b13bdd30b89a03b2e358bcfefa04
MathVerse_MINI_Vision_Dominant b8fb63852d261ab2aaefba29cc2414d3
MathVerse_MINI_Vision_Intensive 01cbd35be202bb0c4873a4186a63bc19
MathVerse_MINI_Vision_Only 68a11d4680014ac881fa37adeadea3a4
MathVision 93f6de14f7916e598aa1b7165589831e
MathVision_MINI 060fe4fa5d868987ce179307bd5f8a33
MathVista_MINI f199b98e178e5a2a20e7048f5dcb0464
OCRBench e953d98a987cc6e26ef717b61260b778
POPE c12f5acb142f2ef1f85a26ba2fbe41d5
RealWorldQA 4de008f55dc4fd008ca9e15321dc44b7
ReasonMap-Plus 205d3ac1c3af07d3e4930f25e01008be
SEEDBench2_Plus e32d3216dc4f452b0fe497a52015d1fd
SEEDBench_IMG 68017231464752261a2526d6ca3a10c0
ScienceQA_TEST e42e9e00f9c59a80d8a5db35bc32b71f
ScienceQA_VAL 96320d05e142e585e7204e72affd29f3
TextVQA_VAL b233b31f551bbf4056f2f955da3a92cd
TopViewRS 5669bc122457979dd2ac3b69b5dc1622
VStarBench b18854d7075574be06b631cd5f7d2d6a
VisualPuzzles 12bcc3f6dd7a11b33ffcd526b5601076
""".split("\n")
    if line
)
EARLIER = {  # md5 -> (table, why it was replaced)
    "3b6649b6a662184ea046908e5506260e": ("BLINK", "until 2026-05: most labels of Relative_Reflectance are wrong"),
    "75aee2332420c7654dc51b1442fafc7b": ("BLINK_circular", "until 2026-05: as BLINK"),
    "521afc0f3bf341e6654327792781644d": ("MMMU_DEV_VAL", "until 2024-12"),
    "26f0f15381a21720255091d3e0316ce6": ("MMBench_TEST_EN_V11", "until 2026-06"),
    "7cb2323950d71f049df70e5162062af3": ("SEEDBench2_Plus", "until 2025-06"),
    "92321028d2bc29040284b6674721e48f": ("RealWorldQA", "until 2024-12"),
}
REVISIONS = dict(
    line.split()
    for line in """
AI4Math/MathVista 2b6ad69445fbb5695c9b165475e8decdbeb97747
BLINK-Benchmark/BLINK a3666eb249237ba3d5eca8db21176cc47967e040
Lin-Chen/MMStar bc98d668301da7b14f648724866e57302778ab27
MMMU/MMMU_Pro 563f3e84bb3b90893083a1f039cfa13077f2302b
echo840/OCRBench 92a54bd1384387c178d5a07140a2d85e0a3d12e1
lmms-lab-encoder/ChartQA 9e63b7df1592a1c2158e735cc1725454aef0d6d9
lmms-lab-encoder/DocVQA 539088ef8a8ada01ac8e2e6d4e372586748a265e
lmms-lab-encoder/HallusionBench cd417161857aefb23d878d42cf1bb53aa9dd646f
lmms-lab-encoder/MMBench 56ba1af8954932c4804bd3f522e05ed96e63b654
lmms-lab-encoder/MME d6c9023f017b564f7b3ccccf5348166bce8fdbcd
lmms-lab-encoder/MMMU 364f2e2eb107b36e07ff4c5a15f5947a759cef47
lmms-lab-encoder/MMVet b310d12d0d9e765db953da28a7ef7ff43620dc83
lmms-lab-encoder/POPE 4db1276663dfa5eb8ad16a52d24c31a09e470896
lmms-lab-encoder/RealWorldQA 907c4e5228fd1703c710ed937601cb5f89ab8d5c
lmms-lab-encoder/SEED-Bench 74c4ea0cee96786739e4ccb97d227818a05ae752
lmms-lab-encoder/ScienceQA 69dd4d6b67373d38f96a5badd5d24d0eb5bcdc50
lmms-lab-encoder/ai2d c83a9b9692933aff8349157c88a413df9d02c4e5
lmms-lab-encoder/textvqa 9c0699cd19768ac5ab97568f6b3cbac4c0062884
lmms-lab-encoder/vstar-bench b44023b4dca749ed8a76b85eb576627d05a1c174
mistralai/MM-MT-Bench 0d94c4edef2c971a37c1407a9b99dcdf9003410b
nyu-visionx/CV-Bench bc284db50d036958861cb60cdd7b77612052ce0d
vikhyatk/CountBenchQA 76d600309e9d6147bd3713b4cd431518ac1206c8
""".split("\n")
    if line
)
