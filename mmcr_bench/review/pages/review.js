"use strict";
const form = document.getElementById("mark");
const flags = form ? [...form.querySelectorAll("input[name=flag]")] : [];
const note = form ? form.querySelector("textarea") : null;

function tell() {
  const count = flags.filter((flag) => flag.checked).length;
  document.getElementById("verdict").textContent = count ? `Flag (${count})` : "Pass";
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
  if (button) button.disabled = false;
  if (form) tell(); // the browser may have restored flags
});

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.altKey || event.metaKey) return;
  if (event.key === "Enter" && event.ctrlKey && form) return submit();
  if (event.target === note) {
    if (event.key === "Escape") note.blur();
    return;
  }
  if (event.ctrlKey || ["INPUT", "BUTTON", "A"].includes(event.target.tagName) && event.key === "Enter") return;
  const number = Number(event.key);
  if (number >= 1 && number <= flags.length) flags[number - 1].click();
  else if (event.key === "Enter" && form) submit();
  else if (event.key === "n" && note) { event.preventDefault(); note.focus(); }
  else if (event.key === "z") document.body.classList.toggle("large");
  else if (event.key === "u" && document.getElementById("undo")) document.getElementById("undo").click();
});
