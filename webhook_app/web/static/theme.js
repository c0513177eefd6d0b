// Loaded before anything is drawn: the theme that was chosen in this browser, if one was, else the system's; and the server
// is told of the reader's time zone, in which "this month" begins.
"use strict";

const theme = {
  get() {
    try {
      return localStorage.getItem("theme") ?? "";
    } catch {
      return ""; // a browser that keeps nothing
    }
  },
  set(choice) {
    try {
      if (choice) {
        localStorage.setItem("theme", choice);
      } else {
        localStorage.removeItem("theme");
      }
    } catch {
      // It lasts for this page.
    }
    this.show(choice);
  },
  show(choice) {
    if (choice === "light" || choice === "dark") {
      document.documentElement.dataset.theme = choice;
    } else {
      delete document.documentElement.dataset.theme;
    }
  },
};

theme.show(theme.get());

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && !document.cookie.split("; ").includes(`tz=${zone}`)) {
  document.cookie = `tz=${zone}; path=/; max-age=31536000; samesite=lax`;
}
