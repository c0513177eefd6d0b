// On the RQ dashboard: says what came of Requeue, and why the list cannot be had.
"use strict";

function say(text, url) {
  const line = document.getElementById("rq-says");
  line.textContent = text;
  if (url) {
    const link = document.createElement("a");
    link.href = url;
    link.textContent = " See how it goes.";
    line.append(link);
  }
  line.hidden = !text;
}

function reason(answer) {
  const told = answer.responseJSON;
  if (told && told.message) {
    return told.message;
  }
  return answer.status ? `That did not work (HTTP ${answer.status}). Reload the page.` : "The server does not answer.";
}

let broken = false;

jQuery(document).on("ajaxSuccess", (_event, answer, settings) => {
  const told = answer.responseJSON;
  if (settings.type === "POST" && told) {
    say(told.message || "Done.", told.url);
  } else if (broken) {
    broken = false;
    say("");
  }
});

jQuery(document).on("ajaxError", (_event, answer, settings) => {
  if (settings.url.endsWith("rq-instances") || answer.statusText === "abort" || !settings.url.includes("/rq/")) {
    return;
  }
  broken = settings.type !== "POST";
  say(reason(answer));
});
