import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

// Every address is relative, so that one build lies under any path: the live page and a static folder.
export default defineConfig({
  base: "./",
  plugins: [svelte()],
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "development|production"] },
  worker: { format: "es" },
  build: {
    outDir: "../src/diabolo/explore/page",
    emptyOutDir: true,
    assetsInlineLimit: 0, // nothing as a data address: the content security policy asks for files
    modulePreload: { polyfill: false },
    target: "es2022",
    chunkSizeWarningLimit: 600,
    license: { fileName: "licenses.md" },
  },
  test: { include: ["src/**/*.test.ts"] },
});
