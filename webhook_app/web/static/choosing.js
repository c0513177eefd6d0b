// Rows that are chosen by ticking them: all at once, and how many stands on the button. Works without it too.
// `data-choose` marks what holds the boxes; it names the form that sends them, where that is not around them.
"use strict";

for (const list of document.querySelectorAll("[data-choose]")) {
  const form = list.dataset.choose ? document.getElementById(list.dataset.choose) : list;
  const all = list.querySelector("[data-choose-all]");
  const boxes = [...list.querySelectorAll("input[name=ids], input[name=seen]")];
  const buttons = [...form.querySelectorAll("[data-chosen]")].map((button) => [button, button.textContent]);
  const count = () => {
    const chosen = boxes.filter((box) => box.checked).length;
    all.checked = chosen === boxes.length;
    all.indeterminate = chosen > 0 && chosen < boxes.length;
    for (const [button, words] of buttons) {
      button.disabled = chosen === 0; // sent without a choice, it would lead to nothing
      button.textContent = chosen === 0 ? words : button.dataset.chosen.replace("{}", chosen);
    }
  };
  all.addEventListener("change", () => boxes.forEach((box) => (box.checked = all.checked)));
  list.addEventListener("change", count);
  window.addEventListener("pageshow", count); // back in the history, boxes are as they were left
}
