// Deliveries, replays and the RQ dashboard in the browser: pages that follow what happens.
// Everything works without it too.
"use strict";

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
