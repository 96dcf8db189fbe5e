/** What was drawn, kept while other tools are open. */
export const pads: { own: Uint8Array | null; text: string } = { own: null, text: "" };
