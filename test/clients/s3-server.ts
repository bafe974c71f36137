/** A real S3 server for tests: moto, from PyPI, installed once per machine into the temporary directory. It keeps its objects in memory. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, renameSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AwsClient } from 'aws4fetch';

const PACKAGES = ['moto[s3]==5.2.5', 'flask', 'flask-cors'];

function installed(): string {
  const kept = join(tmpdir(), 'oxbow-s3-server');
  if (existsSync(join(kept, 'moto'))) return kept;
  const made = mkdtempSync(join(tmpdir(), 'oxbow-tools-'));
  try {
    execFileSync('python3', ['-m', 'pip', 'install', '-q', '--target', join(made, 'site'), ...PACKAGES], { stdio: ['ignore', 'ignore', 'inherit'] });
  } catch (error) {
    throw new Error(`an S3 server is needed: python3 with pip, to install ${PACKAGES.join(' ')} from PyPI (apt-get install python3-pip)`, { cause: error });
  }
  try {
    renameSync(join(made, 'site'), kept);
  } catch {
    // Somebody else was quicker.
  }
  return kept;
}

export interface S3Server {
  readonly url: string;
  /** What oxbow needs in its environment. */
  readonly environment: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

export async function startS3Server(bucket: string): Promise<S3Server> {
  const child = spawn('python3', ['-c', 'import sys; from moto.server import main; main(["-H", "127.0.0.1", "-p", "0"])'], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, PYTHONPATH: installed() } });
  let printed = '';
  const url = await new Promise<string>((resolve, reject) => {
    const look = (chunk: Buffer): void => {
      printed += chunk.toString();
      const match = /Running on (http:\/\/127\.0\.0\.1:\d+)/.exec(printed);
      if (match) resolve(match[1]!);
    };
    child.stdout.on('data', look);
    child.stderr.on('data', look);
    child.once('exit', (code) => reject(new Error(`the S3 server ended with ${code}:\n${printed}`)));
  });
  const environment = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'secret', AWS_REGION: 'us-east-1', AWS_ENDPOINT_URL: url };
  const client = new AwsClient({ accessKeyId: 'test', secretAccessKey: 'secret', service: 's3', region: 'us-east-1' });
  const made = await client.fetch(`${url}/${bucket}`, { method: 'PUT' });
  if (!made.ok) throw new Error(`could not make the bucket: ${made.status} ${await made.text()}`);
  return {
    url, environment,
    async stop() {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await exited;
    },
  };
}
