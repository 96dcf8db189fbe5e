import { defineConfig } from "vite";

// The report's map: one script without imports, which the report puts into its page.
export default defineConfig({
  publicDir: false,
  build: {
    outDir: "../src/diabolo/explore/page",
    emptyOutDir: false,
    target: "es2022",
    lib: { entry: "src/report/main.ts", formats: ["iife"], name: "diaboloMap", fileName: () => "report.js" },
  },
});
