// Browsers start no worker for a page that was opened from the disk. There the search runs in a hidden frame.
"use strict";
if (location.protocol === "file:") {
  window.Worker = class {
    onmessage = null;
    onerror = null;

    constructor(address) {
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.inside = new Promise((resolve) => {
        this.frame.onload = () => {
          const inside = this.frame.contentWindow;
          // As from a worker, an answer is a copy, and comes once the page has done what it is doing.
          inside.postMessage = (data) => {
            const event = new MessageEvent("message", { data: structuredClone(data) });
            setTimeout(() => this.onmessage?.(event));
          };
          const script = inside.document.createElement("script");
          script.src = address;
          script.onload = () => resolve(inside);
          script.onerror = (event) => this.onerror?.(event);
          inside.document.body.append(script);
        };
      });
      document.body.append(this.frame);
    }

    postMessage(data) {
      const event = new MessageEvent("message", { data: structuredClone(data) });
      this.inside.then((inside) => setTimeout(() => inside.dispatchEvent(event)));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
