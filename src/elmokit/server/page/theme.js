// Light or dark, decided before the first line is drawn. "auto" follows the system and goes on following it.
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => {
    try {
      return localStorage.getItem("elmokit-theme") || "auto";
    } catch {
      return "auto"; // storage may be forbidden
    }
  };
  let choice = stored();
  const apply = () => {
    const dark = choice === "dark" || (choice === "auto" && system.matches);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
  };
  system.addEventListener("change", apply);
  apply();
  document.addEventListener("DOMContentLoaded", () => {
    for (const radio of document.querySelectorAll("#theme input")) {
      radio.checked = radio.value === choice;
      radio.addEventListener("change", () => {
        choice = radio.value;
        try {
          localStorage.setItem("elmokit-theme", choice);
        } catch {
          // the choice then lasts as long as the page
        }
        apply();
      });
    }
  });
})();
