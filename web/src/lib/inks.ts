/** The colours of plots on a canvas, which cannot read the style sheet. */
export function inks(dark: boolean): { item: string; mean: string; band: string; axis: string } {
  return dark
    ? { item: "#a9b2ba", mean: "#6cc4de", band: "rgba(108, 196, 222, 0.25)", axis: "#333a41" }
    : { item: "#535a62", mean: "#0b5f79", band: "rgba(11, 95, 121, 0.18)", axis: "#d5d9dd" };
}
