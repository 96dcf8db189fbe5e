/** Many coloured points on a canvas: WebGL 2, or the plain canvas where there is none.
 *
 * Written by hand since regl, on which regl-scatterplot stands, makes its commands from strings, and the
 * content security policy of the page forbids that.
 */
import type { Camera } from "./camera";

const VERTEX = `#version 300 es
in vec2 place; in vec4 colour;
uniform vec2 middle, scale; uniform float size;
out vec4 tint;
void main() {
  gl_Position = vec4((place - middle) * scale, 0.0, 1.0);
  gl_PointSize = size;
  tint = colour;
}`;

const FRAGMENT = `#version 300 es
precision highp float;
in vec4 tint; out vec4 pixel;
uniform float size;
void main() {
  float edge = clamp((0.5 - length(gl_PointCoord - 0.5)) * size, 0.0, 1.0);
  if (edge <= 0.0) discard;
  pixel = vec4(tint.rgb, 1.0) * tint.a * edge;
}`;

export interface Painter {
  points(places: Float32Array): void;
  colours(bytes: Uint8Array): void;
  draw(camera: Camera, size: number, ratio: number): void;
}

class GlPainter implements Painter {
  private n = 0;
  private places: Float32Array = new Float32Array();
  private tints: Uint8Array = new Uint8Array();
  private program!: WebGLProgram;
  private buffers!: WebGLBuffer[];
  private at!: Record<"middle" | "scale" | "size", WebGLUniformLocation | null>;

  constructor(
    private canvas: HTMLCanvasElement,
    private gl: WebGL2RenderingContext,
    redraw: () => void,
  ) {
    this.start();
    canvas.addEventListener("webglcontextlost", (e) => e.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => {
      this.start();
      this.points(this.places);
      this.colours(this.tints);
      redraw();
    });
  }

  private start(): void {
    const gl = this.gl;
    this.program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]] as const) {
      const shader = gl.createShader(kind)!;
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(this.program, shader);
    }
    gl.bindAttribLocation(this.program, 0, "place");
    gl.bindAttribLocation(this.program, 1, "colour");
    gl.linkProgram(this.program);
    if (!gl.getProgramParameter(this.program, gl.LINK_STATUS) && !gl.isContextLost())
      throw new Error(`The map's program does not link: ${gl.getProgramInfoLog(this.program)}`);
    this.buffers = [gl.createBuffer(), gl.createBuffer()];
    const at = (name: string) => gl.getUniformLocation(this.program, name);
    this.at = { middle: at("middle"), scale: at("scale"), size: at("size") };
    gl.useProgram(this.program);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.enableVertexAttribArray(0);
    gl.enableVertexAttribArray(1);
  }

  points(places: Float32Array): void {
    const gl = this.gl;
    this.places = places;
    this.n = places.length / 2;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[0]);
    gl.bufferData(gl.ARRAY_BUFFER, places, gl.STATIC_DRAW);
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
  }

  colours(bytes: Uint8Array): void {
    const gl = this.gl;
    this.tints = bytes;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[1]);
    gl.bufferData(gl.ARRAY_BUFFER, bytes, gl.STATIC_DRAW);
    gl.vertexAttribPointer(1, 4, gl.UNSIGNED_BYTE, true, 0, 0);
  }

  draw(camera: Camera, size: number, ratio: number): void {
    const { gl, at } = this;
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (!this.n || this.tints.length < 4 * this.n) return;
    gl.uniform2f(at.middle, camera.x, camera.y);
    gl.uniform2f(at.scale, (2 * camera.scale) / camera.width, (2 * camera.scale) / camera.height);
    gl.uniform1f(at.size, size * ratio);
    gl.drawArrays(gl.POINTS, 0, this.n);
  }
}

class PlainPainter implements Painter {
  private places = new Float32Array();
  private tints = new Uint8Array();
  constructor(private context: CanvasRenderingContext2D) {}

  points(places: Float32Array<ArrayBuffer>): void {
    this.places = places;
  }

  colours(bytes: Uint8Array<ArrayBuffer>): void {
    this.tints = bytes;
  }

  draw(c: Camera, size: number, ratio: number): void {
    const { context, places, tints } = this;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, c.width, c.height);
    for (let i = 0; 2 * i < places.length && 4 * i < tints.length; i++) {
      const [x, y] = [c.width / 2 + (places[2 * i] - c.x) * c.scale, c.height / 2 - (places[2 * i + 1] - c.y) * c.scale];
      context.fillStyle = `rgba(${tints[4 * i]},${tints[4 * i + 1]},${tints[4 * i + 2]},${tints[4 * i + 3] / 255})`;
      context.fillRect(x - size / 2, y - size / 2, size, size);
    }
  }
}

export function painterFor(canvas: HTMLCanvasElement, redraw: () => void): Painter {
  // the buffer is kept for printing
  const gl = canvas.getContext("webgl2", { alpha: true, antialias: false, preserveDrawingBuffer: true });
  if (gl) return new GlPainter(canvas, gl, redraw);
  return new PlainPainter(canvas.getContext("2d")!);
}
