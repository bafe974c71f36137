/**
 * A target in any S3-compatible store. Requests are signed by aws4fetch; `If-None-Match: *` makes
 * the store itself decide which of two writers was first.
 *
 * AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, and for stores other than
 * Amazon's AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL (path-style addresses).
 */
import { AwsClient } from 'aws4fetch';
import { DatabaseError } from '../errors.js';
import type { Target, TargetObject } from './target.js';

const ATTEMPTS = 4;

export class S3Target implements Target {
  private constructor(
    readonly description: string,
    private readonly client: AwsClient,
    /** URL of the bucket, without a slash at the end. */
    private readonly bucketUrl: string,
    /** Empty, or ends in a slash. */
    private readonly prefix: string,
  ) {}

  static open(specification: string, environment: Readonly<Record<string, string | undefined>>): S3Target {
    const match = /^s3:\/\/([^/]+)\/?(.*)$/.exec(specification);
    if (!match) throw new DatabaseError('22023', `"${specification}" is not of the form s3://bucket/prefix`);
    const [, bucket, rest] = match;
    const accessKeyId = environment.AWS_ACCESS_KEY_ID;
    const secretAccessKey = environment.AWS_SECRET_ACCESS_KEY;
    if (!accessKeyId || !secretAccessKey) throw new DatabaseError('22023', `no credentials for ${specification}`, { hint: 'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.' });
    const region = environment.AWS_REGION ?? environment.AWS_DEFAULT_REGION ?? 'us-east-1';
    const endpoint = (environment.AWS_ENDPOINT_URL_S3 ?? environment.AWS_ENDPOINT_URL)?.replace(/\/+$/, '');
    const client = new AwsClient({
      accessKeyId, secretAccessKey, service: 's3', region, retries: 4, initRetryMs: 100,
      ...(environment.AWS_SESSION_TOKEN ? { sessionToken: environment.AWS_SESSION_TOKEN } : {}),
    });
    const url = endpoint ? `${endpoint}/${bucket}` : `https://${bucket}.s3.${region}.amazonaws.com`;
    return new S3Target(specification, client, url, rest === '' ? '' : `${rest!.replace(/\/+$/, '')}/`);
  }

  private url(name: string): string {
    return `${this.bucketUrl}/${(this.prefix + name).split('/').map(encodeURIComponent).join('/')}`;
  }

  /** Statuses that ask for another try are the client's; here a connection that fails gets some. */
  private async fetch(url: string, init?: RequestInit): Promise<Response> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.client.fetch(url, init);
      } catch (error) {
        if (attempt === ATTEMPTS) throw new DatabaseError('58030', `could not reach ${this.description}: ${((error as { cause?: Error }).cause ?? (error as Error)).message}`);
        await new Promise<void>((resolve) => setTimeout(resolve, 100 * 2 ** attempt));
      }
    }
  }

  private async failed(what: string, response: Response): Promise<DatabaseError> {
    const text = await response.text().catch(() => '');
    const code = /<Code>([^<]*)<\/Code>/.exec(text)?.[1];
    return new DatabaseError('58030', `could not ${what} in ${this.description}: ${response.status}${code ? ` ${code}` : ''}`);
  }

  async putIfAbsent(name: string, bytes: Uint8Array): Promise<'stored' | 'exists'> {
    const response = await this.fetch(this.url(name), { method: 'PUT', body: bytes as Uint8Array<ArrayBuffer>, headers: { 'if-none-match': '*' } });
    if (response.ok) {
      await response.arrayBuffer();
      return 'stored';
    }
    if (response.status === 412 || response.status === 409) {
      await response.arrayBuffer();
      return 'exists';
    }
    throw await this.failed(`write "${name}"`, response);
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    const response = await this.fetch(this.url(name));
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
    if (response.status === 404) {
      await response.arrayBuffer();
      return undefined;
    }
    throw await this.failed(`read "${name}"`, response);
  }

  async list(prefix: string): Promise<TargetObject[]> {
    const out: TargetObject[] = [];
    let token: string | undefined;
    do {
      const query = new URLSearchParams({ 'list-type': '2', prefix: this.prefix + prefix });
      if (token !== undefined) query.set('continuation-token', token);
      const response = await this.fetch(`${this.bucketUrl}/?${query.toString().replaceAll('+', '%20')}`);
      if (!response.ok) throw await this.failed(`list "${prefix}"`, response);
      const text = await response.text();
      for (const [, entry] of text.matchAll(/<Contents>([\s\S]*?)<\/Contents>/g)) {
        const key = unescapeXml(/<Key>([\s\S]*?)<\/Key>/.exec(entry!)?.[1] ?? '');
        out.push({ name: key.slice(this.prefix.length), bytes: Number(/<Size>(\d+)<\/Size>/.exec(entry!)?.[1] ?? 0) });
      }
      token = /<IsTruncated>true<\/IsTruncated>/.test(text) ? unescapeXml(/<NextContinuationToken>([\s\S]*?)<\/NextContinuationToken>/.exec(text)?.[1] ?? '') : undefined;
    } while (token);
    return out.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async delete(name: string): Promise<void> {
    const response = await this.fetch(this.url(name), { method: 'DELETE' });
    if (!response.ok && response.status !== 404) throw await this.failed(`remove "${name}"`, response);
    await response.arrayBuffer();
  }
}

function unescapeXml(text: string): string {
  return text.replace(/&(lt|gt|quot|apos|amp|#(\d+)|#x([0-9a-f]+));/gi, (_, name: string, decimal?: string, hex?: string) =>
    decimal ? String.fromCodePoint(Number(decimal)) : hex ? String.fromCodePoint(parseInt(hex, 16)) : ({ lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' } as Record<string, string>)[name.toLowerCase()]!,
  );
}
