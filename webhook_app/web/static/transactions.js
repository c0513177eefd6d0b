// Transactions in the browser: what has to be counted is fetched when the page is shown, and a time zone is picked from
// all that the browser knows. Without it a link leads to what is counted, and zones are the reader's own and UTC.
"use strict";

// Whether a screen reader says what changes in it: of a line it does, of a page full of tables it would not end.
function isSpoken(place) {
  return place.getAttribute("role") === "status";
}

function say(place, words, ...more) {
  place.replaceChildren(words, ...more);
  if (!isSpoken(place)) {
    announce(words.trim());
  }
}

// The address may name what has only come now, as the plots.
function showTarget(place) {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && place.contains(target)) {
    target.scrollIntoView();
  }
}

async function loadPart(place) {
  place.setAttribute("aria-busy", "true");
  say(place, "Counting …");
  try {
    const answer = await fetch(place.dataset.part, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(120000) });
    if (answer.redirected) {
      throw new Error("you are logged out; load the page again");
    }
    const part = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("part");
    if (!answer.ok || !part) {
      throw new Error(`HTTP ${answer.status}`);
    }
    part.removeAttribute("id");
    place.replaceChildren(part);
    if (!isSpoken(place)) {
      announce("Counted.");
    }
    showTarget(place);
  } catch (error) {
    const why = error instanceof TypeError || error.name === "TimeoutError" ? "the service does not answer" : error.message;
    const again = document.createElement("button");
    again.type = "button";
    again.className = "btn btn-sm btn-outline-secondary";
    again.textContent = "Try again";
    again.addEventListener("click", () => loadPart(place));
    say(place, `They could not be counted: ${why}. `, again);
  } finally {
    place.removeAttribute("aria-busy");
  }
}

document.querySelectorAll("[data-part]").forEach(loadPart);

// As if the page had been asked for with it: the filter leads to addresses that say it.
function keepInFilter(name, value) {
  document.querySelectorAll(".filter-bar a[href], .tabs a[href]").forEach((link) => {
    const address = new URL(link.href);
    address.searchParams.set(name, value);
    link.href = address;
  });
  document.querySelectorAll(".filter-bar form").forEach((form) => {
    const field = form.elements.namedItem(name) || form.appendChild(document.createElement("input"));
    Object.assign(field, { type: "hidden", name, value });
  });
}

// Plots in another currency came with the first ones: they are of the same count, and nothing is counted again.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-drawing]");
  const isPlain = event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
  const room = document.getElementById("plots");
  const wanted = link && [...document.querySelectorAll("template[data-drawing]")].find((one) => one.dataset.drawing === link.dataset.drawing);
  if (!wanted || !room || !isPlain) {
    return;
  }
  event.preventDefault();
  const shown = document.createElement("template");
  shown.dataset.drawing = room.dataset.drawing;
  shown.content.append(...room.childNodes);
  room.append(wanted.content);
  wanted.replaceWith(shown);
  room.dataset.drawing = link.dataset.drawing;
  keepInFilter("volume_in", link.dataset.drawing);
  history.replaceState(history.state, "", link.href);
  room.querySelector("[aria-current]").focus();
  announce(`Volume in ${link.dataset.drawing}.`);
});

// Six hundred options are made when somebody wants to see them, and not with each page.
function offerZones(event) {
  const select = event.target.closest?.("select[data-zones]");
  if (select && !select.dataset.filled) {
    select.dataset.filled = "yes";
    const offered = new Set([...select.options].map((option) => option.text));
    select.append(...Intl.supportedValuesOf("timeZone").filter((zone) => !offered.has(zone)).map((zone) => new Option(zone)));
  }
}

document.addEventListener("focusin", offerZones);
document.addEventListener("pointerdown", offerZones);
