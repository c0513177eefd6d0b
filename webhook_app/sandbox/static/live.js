// Keeps the parts marked data-live fresh: fetches each part's HTML and swaps it in where it changed.
"use strict";

const EVERY_MS = 1500;

async function refresh(part) {
  const answer = await fetch(part.dataset.live, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const html = await answer.text();
  if (html === part.lastHtml) return;
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  part.lastHtml = html;
  part.innerHTML = html;
  if (focused) document.getElementById(focused)?.focus();
}

async function loop() {
  if (!document.hidden) {
    for (const part of document.querySelectorAll("[data-live]")) {
      try {
        await refresh(part);
        document.body.classList.remove("stale");
      } catch {
        document.body.classList.add("stale"); // the sandbox is gone; it may come back
      }
    }
  }
  setTimeout(loop, EVERY_MS);
}

setTimeout(loop, EVERY_MS);
