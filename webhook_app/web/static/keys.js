// The keyboard on every page: / or Ctrl-K to search, j and k through the rows of a list, or from one of its pages to the
// next, Enter to open, Esc to go back.
// And with the mouse: a row opens wherever it is clicked.
"use strict";

const search = document.getElementById("site-search");

function isTyping(element) {
  return element instanceof HTMLElement && (element.isContentEditable || element.matches("input, select, textarea"));
}

// A row is opened by the first link in it, or shows there what it holds.
function rowLinks() {
  return [...document.querySelectorAll("[data-rows] tbody tr, [data-rows] > li")]
    .map((row) => row.querySelector("[data-open], a[href]"))
    .filter(Boolean);
}

function step(by) {
  const links = rowLinks();
  const neighbour = document.querySelector(`.neighbours a[rel=${by > 0 ? "next" : "prev"}]`);
  if (links.length === 0) {
    neighbour?.click();
    return;
  }
  const row = document.activeElement.closest("tr, li");
  const here = links.findIndex((link) => row !== null && link.closest("tr, li") === row);
  const next = links[here === -1 ? (by > 0 ? 0 : links.length - 1) : here + by];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

function hasUnsent() {
  return [...document.querySelectorAll("form[method=post] :is(input:not([type=hidden]), textarea)")].some((field) =>
    field.matches("[type=checkbox], [type=radio]") ? field.checked !== field.defaultChecked : field.value !== field.defaultValue,
  );
}

// One step back: out of a field, a menu or a row; then from a page to its list.
function leave() {
  const active = document.activeElement;
  const menu = document.querySelector("details.more[open], details.menu[open]");
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  } else if (isTyping(active) || active.closest("[data-rows]")) {
    active.blur();
  } else if (!hasUnsent()) {
    document.querySelector(".back a")?.click();
  }
}

document.addEventListener("keydown", (event) => {
  if (event.key === "k" && (event.ctrlKey || event.metaKey) && !event.altKey) {
    event.preventDefault();
    search.select();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) {
    return;
  }
  if (event.key === "Escape") {
    leave();
  } else if (isTyping(event.target)) {
    return;
  } else if (event.key === "/") {
    event.preventDefault();
    search.select();
  } else if (event.key === "j" || event.key === "k") {
    step(event.key === "j" ? 1 : -1);
  }
});

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.more[open], details.menu[open]")) {
    if (!menu.contains(event.target)) {
      menu.open = false;
    }
  }
  const row = event.target.closest?.("[data-rows] tbody tr");
  const control = event.target.closest?.("a, button, input, select, textarea, label, details, form, .choose");
  if (!row || row.contains(control)) {
    return;
  }
  if (window.getSelection().isCollapsed) {
    row.querySelector("[data-open], a[href]")?.click();
  }
});

const choice = document.querySelector("[data-theme-choice]");
choice.value = theme.get();
choice.closest("label").hidden = false;
choice.addEventListener("change", () => theme.set(choice.value));
