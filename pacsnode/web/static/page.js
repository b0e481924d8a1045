// Says so when the node does not answer, and loads the page again where a login has ended.
"use strict";

const banner = () => document.getElementById("offline");

document.addEventListener("htmx:sendError", () => {
  banner().hidden = false;
});
document.addEventListener("htmx:timeout", () => {
  banner().hidden = false;
});
document.addEventListener("htmx:afterRequest", (event) => {
  const status = event.detail.xhr.status;
  if (status === 401) {
    window.location.reload();
  } else if (status >= 500) {
    banner().hidden = false;
  } else if (status > 0) {
    banner().hidden = true;
  }
});
