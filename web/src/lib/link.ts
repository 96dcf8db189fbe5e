/** The socket to the live server: asks with answers, and events. */
import type { Numbers } from "./types";
import { pack, unpack, type Message } from "./wire";

export type LinkState = "connecting" | "open" | "closed";
type Waiting = { resolve: (m: Message) => void; reject: (e: Error) => void };

const LOST = "The connection to the server is lost: start `diabolo explore` again and open the address that it prints.";

export class Link {
  state: LinkState = "connecting";
  onstate: (state: LinkState) => void = () => {};
  onevent: (event: Record<string, unknown>) => void = () => {};
  private socket: WebSocket | null = null;
  private waiting = new Map<number, Waiting>();
  private next = 1;
  private tries = 0;
  private bye = false;
  private opened: Promise<void>;
  private open!: () => void;

  constructor(private url: string) {
    this.opened = new Promise((resolve) => (this.open = resolve));
    this.connect();
  }

  private connect(): void {
    const socket = new WebSocket(this.url);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      this.tries = 0;
      this.tell("open");
      this.open();
    };
    socket.onmessage = (e) => this.receive(e.data as ArrayBuffer);
    socket.onclose = () => {
      for (const w of this.waiting.values()) w.reject(new Error(LOST));
      this.waiting.clear();
      if (this.bye || this.tries >= 5) {
        this.tell("closed");
        return this.open(); // who waits for it learns that it is lost
      }
      if (this.state === "open") this.opened = new Promise((resolve) => (this.open = resolve));
      this.tell("connecting");
      setTimeout(() => this.connect(), 250 * 2 ** this.tries++);
    };
  }

  private get lost(): boolean {
    return this.state === "closed";
  }

  private tell(state: LinkState): void {
    this.state = state;
    this.onstate(state);
  }

  private receive(data: ArrayBuffer): void {
    const message = unpack(data);
    const { id, ok, error, event } = message.header;
    if (event) {
      if (event === "bye") this.bye = true;
      return this.onevent(message.header);
    }
    const waiting = this.waiting.get(id as number);
    if (!waiting) return;
    this.waiting.delete(id as number);
    if (ok) waiting.resolve(message);
    else waiting.reject(new Error(String(error)));
  }

  async ask(
    ask: string,
    arrays: Record<string, { data: Numbers; shape: number[] }> = {},
    options: Record<string, unknown> = {},
  ): Promise<Message> {
    if (this.state !== "open") await this.opened;
    if (this.lost) throw new Error(LOST);
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.socket!.send(pack({ id, ask, ...options }, arrays));
    });
  }
}
