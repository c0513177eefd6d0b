// Deliveries, replays and the RQ dashboard in the browser: choosing all rows, pages that follow what happens.
// Everything works without it too.
"use strict";

for (const form of document.querySelectorAll("[data-choose]")) {
  const all = form.querySelector("[data-choose-all]");
  const boxes = [...form.querySelectorAll("input[name=ids]")];
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
  all.hidden = false;
  all.addEventListener("change", () => boxes.forEach((box) => (box.checked = all.checked)));
  form.addEventListener("change", count);
  window.addEventListener("pageshow", count); // back in the history, boxes are as they were left
}

// Puts the parts of a newer copy of this page in place of those here, but never under the reader's hands.
function renew(page) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const newer = page.getElementById(part.id);
    const isInUse = part.contains(document.activeElement) || part.querySelector("details[open]") !== null;
    if (newer && newer.outerHTML !== part.outerHTML && !isInUse) {
      part.replaceWith(newer);
    }
  }
}

function running() {
  return document.querySelector("[data-running]");
}

// Every `data-running` seconds; less often where the page takes long to make.
function followLater(took) {
  setTimeout(follow, Math.max(1000 * Number(running().dataset.running), 10 * took));
}

async function follow() {
  const began = performance.now();
  try {
    const headers = { Accept: "text/html", "X-Looks-On": "yes" };
    const answer = document.hidden ? null : await fetch(location.href, { headers });
    if (answer?.redirected) {
      location.reload(); // logged out meanwhile
      return;
    }
    if (answer?.ok) {
      renew(new DOMParser().parseFromString(await answer.text(), "text/html"));
    }
  } catch {
    // The next one may come through.
  }
  if (running()) {
    followLater(performance.now() - began);
  } else {
    announce(document.getElementById("progress-words").textContent.trim());
  }
}

if (running()) {
  followLater(0);
}
