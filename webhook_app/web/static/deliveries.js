// Deliveries and replays in the browser: choosing all rows, pages that follow a replay.
// Everything works without it too.
"use strict";

for (const form of document.querySelectorAll("[data-choose]")) {
  const all = form.querySelector("[data-choose-all]");
  const boxes = [...form.querySelectorAll("input[name=ids]")];
  all.hidden = false;
  all.addEventListener("change", () => boxes.forEach((box) => (box.checked = all.checked)));
  form.addEventListener("change", () => {
    const chosen = boxes.filter((box) => box.checked).length;
    all.checked = chosen === boxes.length;
    all.indeterminate = chosen > 0 && chosen < boxes.length;
  });
}

// Puts the parts of a newer copy of this page in place of those here, but never under the reader's hands.
function renew(page) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const newer = page.getElementById(part.id);
    if (newer && newer.outerHTML !== part.outerHTML && !part.contains(document.activeElement)) {
      part.replaceWith(newer);
    }
  }
}

async function follow() {
  const began = performance.now();
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.redirected) {
      location.reload(); // logged out meanwhile
      return;
    }
    if (answer.ok) {
      renew(new DOMParser().parseFromString(await answer.text(), "text/html"));
    }
  } catch {
    // The next one may come through.
  }
  if (document.querySelector("[data-running]")) {
    setTimeout(follow, Math.max(2000, 10 * (performance.now() - began)));
  } else {
    announce(document.getElementById("progress-words").textContent.trim());
  }
}

if (document.querySelector("[data-running]")) {
  setTimeout(follow, 1000);
}
