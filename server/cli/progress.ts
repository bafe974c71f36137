/** Progress of long commands on stderr: a bar with the time left on a terminal, a plain line now and then elsewhere. */
const WIDTH = 24;
const TERMINAL_MS = 100;
const PLAIN_MS = 10_000;

export class ProgressBar {
  private startMs = performance.now();
  private shownMs = -Infinity;
  private label = '';
  private drawn = false;
  private startDone = 0;

  constructor(private readonly stream: NodeJS.WriteStream = process.stderr) {}

  /** `done` of `total` bytes. */
  update(label: string, done: number, total: number): void {
    const now = performance.now();
    if (label !== this.label) {
      this.label = label;
      this.startMs = now;
      this.startDone = done;
      this.shownMs = this.stream.isTTY ? -Infinity : now;
    }
    if (now - this.shownMs < (this.stream.isTTY ? TERMINAL_MS : PLAIN_MS)) return;
    this.shownMs = now;
    const share = total > 0 ? Math.min(1, done / total) : 1;
    const seconds = (now - this.startMs) / 1000;
    const rate = seconds > 0 ? (done - this.startDone) / seconds : 0;
    const left = rate > 0 ? Math.max(0, total - done) / rate : Infinity;
    const figures = `${(share * 100).toFixed(1)}%  ${megabytes(done)} of ${megabytes(total)}  ${megabytes(rate)}/s  ${left === Infinity ? '' : `${duration(left)} left`}`;
    if (!this.stream.isTTY) {
      this.stream.write(`${label} ${figures.trim()}\n`);
      return;
    }
    const full = Math.round(share * WIDTH);
    this.stream.write(`\r\x1b[K${label} [${'#'.repeat(full)}${' '.repeat(WIDTH - full)}] ${figures}`);
    this.drawn = true;
  }

  /** A line beside the bar. */
  note(text: string): void {
    this.clear();
    this.stream.write(`${text}\n`);
  }

  clear(): void {
    if (this.drawn) this.stream.write('\r\x1b[K');
    this.drawn = false;
  }
}

export function megabytes(bytes: number): string {
  return bytes >= 1 << 30 ? `${(bytes / 2 ** 30).toFixed(2)} GB` : bytes >= 1 << 20 ? `${(bytes / 2 ** 20).toFixed(1)} MB` : `${Math.ceil(bytes / 1024)} kB`;
}

export function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
