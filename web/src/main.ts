import { mount } from "svelte";
import App from "./App.svelte";
import "./app.css";
import { initial } from "./lib/theme";

document.documentElement.dataset.theme = initial();
const target = document.getElementById("app")!;
target.replaceChildren();
mount(App, { target });
