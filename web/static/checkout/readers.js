// The readers' page follows their states; when one appears or ends its registration the page is drawn anew,
// unless somebody is typing into it.
import { follow } from "./follow.js";

follow({
  onOther: () => {
    const isTyping = document.activeElement?.matches("input, select, textarea");
    if (!isTyping) window.location.reload();
  },
});
