/**
 * Fits a line to as many points as one line can serve: points come by ascending x, and the fitter says when the next one can be
 * within `error` (measured in y) of no line that is within it of all points so far. After O'Rourke (1981), as the PGM index
 * uses it (Ferragina, Vinciguerra 2020): the two hulls of the points moved up and down by the error, and the two extreme lines
 * between them. Each point is pushed and popped at most once, so a piece costs time in proportion to its points, and no
 * other division into pieces has fewer of them.
 *
 * It computes in doubles, where the rounding of products may shift a decision at the very edge of the bound. So whoever
 * uses a line measures its error with the arithmetic of look-ups before believing it (pieces.ts).
 */

/** A line through (0, intercept). */
export interface Line { slope: number; intercept: number }

export class PieceFitter {
  private points = 0;
  private lowerX = new Float64Array(256);
  private lowerY = new Float64Array(256);
  private upperX = new Float64Array(256);
  private upperY = new Float64Array(256);
  private lowerStart = 0;
  private lowerEnd = 0;
  private upperStart = 0;
  private upperEnd = 0;
  /** The line of least slope goes from (x0, y0) to (x2, y2), that of greatest from (x1, y1) to (x3, y3). */
  private x0 = 0; private y0 = 0; private x1 = 0; private y1 = 0; private x2 = 0; private y2 = 0; private x3 = 0; private y3 = 0;

  constructor(private readonly error: number) {}

  restart(): void {
    this.points = 0;
  }

  /** False: the point belongs to the next piece. x is above all before it. */
  add(x: number, y: number): boolean {
    const up = y + this.error;
    const down = y - this.error;
    if (this.points === 0) {
      this.x0 = this.x1 = this.x2 = this.x3 = x;
      this.y0 = this.y3 = up;
      this.y1 = this.y2 = down;
      this.upperStart = this.upperEnd = this.lowerStart = this.lowerEnd = 0;
      this.pushUpper(x, up);
      this.pushLower(x, down);
      this.points = 1;
      return true;
    }
    if (this.points === 1) {
      this.x2 = this.x3 = x;
      this.y2 = down;
      this.y3 = up;
      this.pushUpper(x, up);
      this.pushLower(x, down);
      this.points = 2;
      return true;
    }
    const leastX = this.x2 - this.x0;
    const leastY = this.y2 - this.y0;
    const mostX = this.x3 - this.x1;
    const mostY = this.y3 - this.y1;
    if ((up - this.y2) * leastX < leastY * (x - this.x2) || (down - this.y3) * mostX > mostY * (x - this.x3)) return false;
    if ((up - this.y1) * mostX < mostY * (x - this.x1)) this.lowerMost(x, up);
    if ((down - this.y0) * leastX > leastY * (x - this.x0)) this.raiseLeast(x, down);
    this.points++;
    return true;
  }

  /** The middle of the lines that fit. */
  line(into: Line): void {
    const { x0, y0, x1, y1, x2, y2, x3, y3 } = this;
    if (this.points === 1) {
      into.slope = 0;
      into.intercept = (y0 + y1) / 2;
      return;
    }
    const leastX = x2 - x0;
    const leastY = y2 - y0;
    const mostX = x3 - x1;
    const mostY = y3 - y1;
    const slope = (leastY / leastX + mostY / mostX) / 2;
    const cross = leastX * mostY - leastY * mostX;
    let atX = x0;
    let atY = y0;
    if (cross !== 0) {
      const share = ((x1 - x0) * mostY - (y1 - y0) * mostX) / cross;
      atX = x0 + share * leastX;
      atY = y0 + share * leastY;
    }
    into.slope = slope > 0 && slope < Infinity ? slope : 0;
    into.intercept = atY - atX * into.slope;
  }

  /** The greatest slope falls: it goes through the new point, and the point of the lower hull that it touches then. */
  private lowerMost(x: number, up: number): void {
    const { lowerX, lowerY } = this;
    let at = this.lowerStart;
    let dx = lowerX[at]! - x;
    let dy = lowerY[at]! - up;
    for (let i = at + 1; i < this.lowerEnd; i++) {
      const nextX = lowerX[i]! - x;
      const nextY = lowerY[i]! - up;
      if (nextY * dx > dy * nextX) break;
      dx = nextX;
      dy = nextY;
      at = i;
    }
    this.x1 = lowerX[at]!;
    this.y1 = lowerY[at]!;
    this.x3 = x;
    this.y3 = up;
    this.lowerStart = at;
    const { upperX, upperY } = this;
    let end = this.upperEnd;
    while (end >= this.upperStart + 2 && turn(upperX[end - 2]!, upperY[end - 2]!, upperX[end - 1]!, upperY[end - 1]!, x, up) <= 0) end--;
    this.upperEnd = end;
    this.pushUpper(x, up);
  }

  private raiseLeast(x: number, down: number): void {
    const { upperX, upperY } = this;
    let at = this.upperStart;
    let dx = upperX[at]! - x;
    let dy = upperY[at]! - down;
    for (let i = at + 1; i < this.upperEnd; i++) {
      const nextX = upperX[i]! - x;
      const nextY = upperY[i]! - down;
      if (nextY * dx < dy * nextX) break;
      dx = nextX;
      dy = nextY;
      at = i;
    }
    this.x0 = upperX[at]!;
    this.y0 = upperY[at]!;
    this.x2 = x;
    this.y2 = down;
    this.upperStart = at;
    const { lowerX, lowerY } = this;
    let end = this.lowerEnd;
    while (end >= this.lowerStart + 2 && turn(lowerX[end - 2]!, lowerY[end - 2]!, lowerX[end - 1]!, lowerY[end - 1]!, x, down) >= 0) end--;
    this.lowerEnd = end;
    this.pushLower(x, down);
  }

  private pushUpper(x: number, y: number): void {
    if (this.upperEnd === this.upperX.length) {
      this.upperX = grown(this.upperX);
      this.upperY = grown(this.upperY);
    }
    this.upperX[this.upperEnd] = x;
    this.upperY[this.upperEnd++] = y;
  }

  private pushLower(x: number, y: number): void {
    if (this.lowerEnd === this.lowerX.length) {
      this.lowerX = grown(this.lowerX);
      this.lowerY = grown(this.lowerY);
    }
    this.lowerX[this.lowerEnd] = x;
    this.lowerY[this.lowerEnd++] = y;
  }
}

function turn(ax: number, ay: number, bx: number, by: number, cx: number, cy: number): number {
  return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
}

function grown(array: Float64Array): Float64Array<ArrayBuffer> {
  const out = new Float64Array(array.length * 2);
  out.set(array);
  return out;
}
