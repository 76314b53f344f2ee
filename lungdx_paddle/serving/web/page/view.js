// The canvas: a slice with outlines on it, zoomed and moved. A pixel's middle is a whole number,
// as in the server's outlines: pixel 0 reaches from -0.5 to 0.5.

const COLOURS = { chosen: "#ffd24a", other: "#5fd0ff", drawing: "#7dff9b", cross: "#ff7d7d" };
const LARGEST_ZOOM = 20;

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.image = null; // an ImageBitmap of the slice
    this.zoom = 1; // 1: the whole slice fits
    this.middle = [0, 0]; // the slice's pixel in the middle of the canvas
    this.cross = null;
    this.drawing = []; // polygons that are being drawn
    this.outlines = []; // {polygons, chosen, label}
    this.showsOutlines = true;
    this.series = null;
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  open(series) {
    this.series = series;
    this.cross = null;
    this.fit();
  }

  fit() {
    this.zoom = 1;
    this.middle = [(this.series.columns - 1) / 2, (this.series.rows - 1) / 2];
    this.draw();
  }

  // Screen pixels of a column and of a row: the slice's pixels may be no squares.
  get scale() {
    const { columns, rows, spacing_mm: [, row, column] } = this.series;
    const box = this.canvas.getBoundingClientRect();
    const one = Math.min(box.width / (columns * column), box.height / (rows * row)) * this.zoom;
    return [one * column, one * row];
  }

  toScreen([x, y]) {
    const [sx, sy] = this.scale;
    const box = this.canvas.getBoundingClientRect();
    return [(x - this.middle[0]) * sx + box.width / 2, (y - this.middle[1]) * sy + box.height / 2];
  }

  toSlice(event) {
    const [sx, sy] = this.scale;
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left - box.width / 2) / sx + this.middle[0],
      (event.clientY - box.top - box.height / 2) / sy + this.middle[1]];
  }

  contains([x, y]) {
    return x > -0.5 && y > -0.5 && x < this.series.columns - 0.5 && y < this.series.rows - 0.5;
  }

  zoomAt(factor, at = this.middle) {
    const zoom = Math.min(LARGEST_ZOOM, Math.max(1, this.zoom * factor));
    const kept = this.zoom / zoom;
    this.middle = this.middle.map((m, i) => at[i] + (m - at[i]) * kept);
    this.zoom = zoom;
    if (zoom === 1) this.fit(); else this.move(0, 0);
  }

  show(at, zoom) {
    [this.middle, this.zoom] = [at, zoom];
    this.draw();
  }

  move(dx, dy) { // screen pixels
    const [sx, sy] = this.scale;
    const { columns, rows } = this.series;
    this.middle = [Math.min(columns, Math.max(0, this.middle[0] - dx / sx)),
      Math.min(rows, Math.max(0, this.middle[1] - dy / sy))];
    this.draw();
  }

  draw() {
    const box = this.canvas.getBoundingClientRect();
    const dots = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(box.width * dots), Math.round(box.height * dots)];
    if (this.canvas.width !== width || this.canvas.height !== height) {
      Object.assign(this.canvas, { width, height });
    }
    if (!this.image || !width) return;
    const context = this.canvas.getContext("2d");
    context.setTransform(dots, 0, 0, dots, 0, 0);
    context.clearRect(0, 0, box.width, box.height);
    const [left, top] = this.toScreen([-0.5, -0.5]);
    const [sx, sy] = this.scale;
    context.imageSmoothingEnabled = sx < 6; // larger pixels are shown as they are
    context.imageSmoothingQuality = "high";
    context.drawImage(this.image, left, top, sx * this.series.columns, sy * this.series.rows);
    if (this.showsOutlines) this.outlines.forEach((outline) => this.#outline(context, outline));
    this.#polygons(context, this.drawing, COLOURS.drawing, 2);
    if (this.cross) this.#cross(context);
  }

  #outline(context, { polygons, chosen, label }) {
    const colour = chosen ? COLOURS.chosen : COLOURS.other;
    this.#polygons(context, polygons, colour, chosen ? 1.8 : 1.2);
    const points = polygons.flat().map((point) => this.toScreen(point));
    if (!points.length) return;
    const right = Math.max(...points.map((p) => p[0]));
    const above = Math.min(...points.map((p) => p[1]));
    context.font = "600 13px system-ui, sans-serif";
    context.lineWidth = 3;
    context.strokeStyle = "#000";
    context.strokeText(label, right + 4, above);
    context.fillStyle = colour;
    context.fillText(label, right + 4, above);
  }

  #polygons(context, polygons, colour, width) {
    for (const polygon of polygons) {
      context.beginPath();
      polygon.forEach((point) => context.lineTo(...this.toScreen(point)));
      context.closePath();
      context.lineJoin = "round";
      for (const [style, w] of [["#000a", width + 1.6], [colour, width]]) {
        Object.assign(context, { strokeStyle: style, lineWidth: w });
        context.stroke();
      }
    }
  }

  #cross(context) {
    const [x, y] = this.toScreen(this.cross);
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + 5 * dx, y + 5 * dy);
      context.lineTo(x + 18 * dx, y + 18 * dy);
    }
    Object.assign(context, { strokeStyle: COLOURS.cross, lineWidth: 1.6 });
    context.stroke();
  }
}

// A circle on a slice as a polygon.
export function circle([x, y], radius_mm, [, row_mm, column_mm]) {
  return Array.from({ length: 48 }, (_, k) => {
    const turn = (k / 48) * 2 * Math.PI;
    return [x + (radius_mm / column_mm) * Math.cos(turn), y + (radius_mm / row_mm) * Math.sin(turn)];
  });
}

export function distance_mm(one, other, [, row_mm, column_mm]) {
  return Math.hypot((one[0] - other[0]) * column_mm, (one[1] - other[1]) * row_mm);
}
