// The overview refreshes itself: it fetches its content and swaps it in. Focus, what is open and what is scrolled stay.
"use strict";

(() => {
  const overview = document.getElementById("overview");
  const state = document.getElementById("refresh-state");
  const toggle = document.getElementById("refresh-toggle");
  const interval = Number(overview.dataset.seconds) * 1000;
  let lastTime = document.getElementById("refresh").dataset.now;
  let timer = null;
  let isStopped = false;
  let isAsking = false;

  function say(text, isStale) {
    state.textContent = text;
    state.parentElement.classList.toggle("stale", isStale);
    overview.classList.toggle("stale", isStale);
  }

  function keyed(root) {
    return [...root.querySelectorAll("[data-key]")];
  }

  function isSelecting() {
    const selection = window.getSelection();
    return selection !== null && !selection.isCollapsed && overview.contains(selection.anchorNode);
  }

  function swap(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html").body;
    const focused = overview.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    const before = new Map(keyed(overview).map((element) => [element.dataset.key, element]));
    for (const element of keyed(fresh)) {
      if (element instanceof HTMLDetailsElement) {
        element.open = before.get(element.dataset.key)?.open ?? false;
      }
    }
    const scrolled = [...before].map(([key, element]) => [key, element.scrollLeft, element.scrollTop]);
    const sentence = document.getElementById("verdict")?.textContent;
    overview.replaceChildren(...fresh.childNodes);
    const after = new Map(keyed(overview).map((element) => [element.dataset.key, element]));
    for (const [key, left, top] of scrolled) {
      after.get(key)?.scrollTo(left, top);
    }
    if (focused !== undefined) {
      after.get(focused)?.focus({ preventScroll: true });
    }
    const verdict = document.getElementById("verdict");
    if (verdict && verdict.textContent !== sentence) {
      announce(verdict.textContent);
    }
    const alarm = overview.querySelector("[data-alarm]")?.dataset.alarm;
    document.title = `${alarm ? `${alarm} · ` : ""}Overview · Proof webhooks`;
  }

  async function refresh() {
    if (isAsking || isStopped || document.hidden) {
      return;
    }
    isAsking = true;
    try {
      const response = await fetch(overview.dataset.part, { redirect: "manual", signal: AbortSignal.timeout(20000) });
      if (response.type === "opaqueredirect") {
        stop();
        say(`You are logged out since ${lastTime} UTC or later. Load the page again to log in.`, true);
        return;
      }
      // 503: the page without SQL, which says so itself.
      if (!response.ok && response.status !== 503) {
        throw new Error(`HTTP ${response.status}`);
      }
      const html = await response.text();
      if (!html.includes('id="verdict"')) {
        throw new Error("another page answered");
      }
      if (!isSelecting()) {
        swap(html);
        lastTime = new Date(response.headers.get("Date") ?? Date.now()).toISOString().slice(11, 19);
        say(`Refreshed at ${lastTime} UTC, every ${interval / 1000} s.`, false);
      }
    } catch (error) {
      const why = error instanceof TypeError || error.name === "TimeoutError" ? "the service does not answer" : error.message;
      say(`Not refreshed since ${lastTime} UTC: ${why}. It is tried on.`, true);
    } finally {
      isAsking = false;
    }
  }

  function start() {
    isStopped = false;
    clearInterval(timer);
    timer = setInterval(refresh, interval);
    toggle.textContent = "Stop refreshing";
  }

  function stop() {
    isStopped = true;
    clearInterval(timer);
    toggle.textContent = "Refresh again";
    say(`Stopped at ${lastTime} UTC.`, false);
  }

  toggle.addEventListener("click", () => {
    if (isStopped) {
      start();
      refresh();
    } else {
      stop();
    }
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) {
      refresh();
    }
  });
  start();
})();
