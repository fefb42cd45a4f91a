/**
 * A hub on this machine, and the store that its large files come from: two servers, so two hosts. Both answer as the real
 * ones do, unless a test tells them to misbehave; both remember what they were asked.
 */
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** One question to a server. */
export interface Asked {
  readonly at: 'hub' | 'store'
  readonly path: string
  readonly range: string | undefined
  readonly authorization: string | undefined
}

/** What is about to be answered, and the ways to answer otherwise. */
export interface Exchange extends Asked {
  /** The file that is asked for; null for a question about the model. */
  readonly name: string | null
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** What would be sent of the file: all of it, or the range. */
  readonly body: Buffer
  /** Ends the answer with these headers and this body. */
  send(status: number, headers: Record<string, string | number>, body?: string | Uint8Array): void
}

/** Answers in the server's place; false leaves the answer to it. */
export type Misbehaviour = (exchange: Exchange) => boolean

const LARGE = 10_000

/** The hash that git names a file by. */
export function gitSha1(content: Uint8Array): string {
  return createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex')
}

/** SHA-256 in hexadecimal digits. */
export function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}

/** A hub with one model. */
export class MockHub {
  /** What the model is called. */
  readonly id = 'someone/tiny'
  readonly files = new Map<string, Buffer>()
  readonly asked: Asked[] = []
  /** The commit of every branch and tag. */
  readonly references = new Map([['main', 'a'.repeat(40)]])
  misbehave: Misbehaviour = () => false
  /** How the hash of a file is told. */
  spellEtag: (hash: string) => string = (hash) => `"${hash}"`
  readonly #hub: Server
  readonly #store: Server

  private constructor() {
    this.#hub = createServer((request, response) => this.#answer('hub', request, response))
    this.#store = createServer((request, response) => this.#answer('store', request, response))
  }

  /** Starts both servers. */
  static async start(): Promise<MockHub> {
    const mock = new MockHub()
    for (const server of [mock.#hub, mock.#store])
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return mock
  }

  async stop(): Promise<void> {
    for (const server of [this.#hub, this.#store]) {
      server.closeAllConnections()
      if (server.listening) await new Promise((resolve) => server.close(resolve))
    }
  }

  get endpoint(): string {
    return addressOf(this.#hub)
  }

  get store(): string {
    return addressOf(this.#store)
  }

  /** Files large enough to come from the store, as LFS files do. */
  isLarge(name: string): boolean {
    return (this.files.get(name)?.length ?? 0) > LARGE
  }

  /** The names of files whose content was asked for, in order, each once. */
  get served(): string[] {
    const prefix = `/${this.id}/resolve/`
    const paths = this.asked.filter(({ path }) => path.startsWith(prefix)).map(({ path }) => path)
    return [...new Set(paths.map((path) => path.slice(prefix.length + 41)))]
  }

  #answer(at: 'hub' | 'store', request: IncomingMessage, response: ServerResponse): void {
    const { pathname: path } = new URL(request.url ?? '/', 'http://mock')
    const { range, authorization } = request.headers
    const asked: Asked = { at, path, range, authorization }
    this.asked.push(asked)
    response.on('error', () => {})
    const name = this.#nameOf(at, path)
    const content = this.files.get(name ?? '') ?? Buffer.alloc(0)
    const start = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0)
    const send: Exchange['send'] = (status, headers, body = '') =>
      void response.writeHead(status, headers).end(body)
    const exchange = { ...asked, name, request, response, body: content.subarray(start), send }
    if (this.misbehave(exchange)) return
    if (name !== null) this.#sendFile(exchange, start)
    else this.#sendFacts(exchange)
  }

  #nameOf(at: 'hub' | 'store', path: string): string | null {
    if (at === 'store')
      return [...this.files].find(([, content]) => path === `/${sha256(content)}`)?.[0] ?? null
    const found = new RegExp(`^/${this.id}/resolve/[0-9a-f]{40}/(.+)$`).exec(path)?.[1]
    return found === undefined ? null : decodeURIComponent(found)
  }

  #sendFile({ at, name, body, send }: Exchange, start: number): void {
    const content = this.files.get(name ?? '')
    if (content === undefined) send(404, { 'x-error-code': 'EntryNotFound' })
    else if (at === 'hub' && this.isLarge(name ?? '')) {
      const hash = sha256(content)
      send(302, { location: `${this.store}/${hash}`, 'x-linked-etag': this.spellEtag(hash) })
    } else if (start > 0 && start >= content.length) send(416, {})
    else {
      const range = `bytes ${start}-${content.length - 1}/${content.length}`
      const about = {
        'content-type': 'application/octet-stream',
        'content-length': body.length,
        etag: '"store"',
      }
      send(start > 0 ? 206 : 200, start > 0 ? { ...about, 'content-range': range } : about, body)
    }
  }

  #sendFacts({ path, send }: Exchange): void {
    const json = (value: unknown, more: Record<string, string> = {}): void =>
      send(200, { 'content-type': 'application/json; charset=utf-8', ...more }, JSON.stringify(value))
    const revision = new RegExp(`^/api/models/${this.id}/revision/(.+)$`).exec(path)?.[1]
    if (revision !== undefined) {
      const asked = decodeURIComponent(revision)
      const sha =
        this.references.get(asked) ?? [...this.references.values()].find((commit) => commit === asked)
      if (sha === undefined) send(404, { 'x-error-code': 'RevisionNotFound' })
      else json({ _id: '1', id: this.id, sha, lastModified: '2024-01-01T00:00:00.000Z' })
    } else if (new RegExp(`^/api/models/${this.id}/tree/[0-9a-f]{40}$`).test(path)) json(this.tree())
    else send(path.startsWith('/api/') ? 401 : 404, { 'content-type': 'application/json' }, '{"error":"no"}')
  }

  /** The list of files, as the hub gives it. */
  tree(): Record<string, unknown>[] {
    return [
      { type: 'directory', path: 'onnx', oid: '0'.repeat(40), size: 0 },
      ...[...this.files].map(([path, content]) => {
        const about = { type: 'file', path, size: content.length }
        if (!this.isLarge(path)) return { ...about, oid: gitSha1(content) }
        const lfs = { oid: sha256(content), size: content.length, pointerSize: 130 }
        return { ...about, oid: gitSha1(Buffer.from('a pointer')), lfs }
      }),
    ]
  }
}

function addressOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
