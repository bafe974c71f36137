/** A session's portals by name. The unnamed one comes and goes with each statement: it stands beside the map. */
import { closePortal, type Portal } from './portal.js';

export class Portals {
  #unnamed: Portal | undefined;
  readonly #named = new Map<string, Portal>();

  get(name: string): Portal | undefined {
    return name === '' ? this.#unnamed : this.#named.get(name);
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  set(name: string, portal: Portal): void {
    if (name === '') this.#unnamed = portal;
    else this.#named.set(name, portal);
  }

  /** Closes it and forgets it, if there is one. */
  close(name: string): void {
    const portal = this.get(name);
    if (!portal) return;
    closePortal(portal);
    if (name === '') this.#unnamed = undefined;
    else this.#named.delete(name);
  }

  /** Closes those that `which` says. */
  closeAll(which: (portal: Portal) => boolean): void {
    if (this.#unnamed && which(this.#unnamed)) this.close('');
    if (this.#named.size > 0) for (const [name, portal] of this.#named) if (which(portal)) this.close(name);
  }

  /** All of them now. */
  list(): Portal[] {
    return this.#unnamed ? [this.#unnamed, ...this.#named.values()] : [...this.#named.values()];
  }

  /** Names of those that have one. */
  names(): string[] {
    return [...this.#named.keys()];
  }
}
