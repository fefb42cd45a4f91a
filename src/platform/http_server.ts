/**
 * A socket that answers HTTP: by Node's own server and hono's bridge to it, or by that of Deno.
 *
 * It is no part of `platform.ts`, so that only a server loads the bridge.
 */
import type * as Bridge from '@hono/node-server'
import type { Server as NodeServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { builtin, hostProcess } from './builtin.ts'
import { PlatformError } from './platform_error.ts'

/** Answers a request; the signal of the request is aborted when its client leaves. */
export type Fetch = (request: Request) => Response | Promise<Response>

/** Where a server listens. */
export interface ListenOptions {
  readonly host: string
  /** 0 for any that is free. */
  readonly port: number
  /** Answers what is no request of HTTP. @param reason for people */
  readonly refuse: (reason: string) => Response
  /**
   * The most open connections. In Deno, which does not tell of connections, the most requests that are being read or answered:
   * HTTP/1.1 has one of them at a time on a connection.
   */
  readonly connections: number
  /** Answers the first request of a connection past the limit. */
  readonly refuseConnection: () => Response
}

/** A server that listens. */
export interface Listening {
  readonly host: string
  readonly port: number
  /**
   * Ends once the requests have been answered that came before: until then it listens, so that others are told and not cut off.
   * @returns when it no longer listens, and every connection is closed
   */
  close(): Promise<void>
  /** Ends every connection, or stops waiting for it. */
  end(): void
}

interface DenoServer {
  readonly addr: { readonly hostname: string; readonly port: number }
  shutdown(): Promise<void>
  unref(): void
}
interface DenoGlobal {
  serve(
    options: { hostname: string; port: number; onListen: () => void; onError: () => Response },
    fetch: (request: Request, info: { readonly completed: Promise<void> }) => ReturnType<Fetch>,
  ): DenoServer
}

/** Milliseconds in which a client must have sent its request, in Node. In Deno only the time of a body is bounded, by its reader. */
const REQUEST_TIMEOUT = 60_000
/** Connections past the limit that are told so; further ones are closed at once. */
const REFUSED_CONNECTIONS = 64
/** Milliseconds for which such a connection may take to send its request. */
const REFUSED_FOR = 1000
/**
 * Milliseconds for which a connection is kept without a request. Node keeps it for five seconds, after which clients of a busy
 * machine send requests into connections that are being closed.
 */
const KEPT_FOR = 60_000
/** What a request whose address cannot be read should have had. */
const ADDRESS = 'an address of this server'
/** Milliseconds between looks for idle connections at the end. */
const IDLE = 20

/**
 * Listens.
 * @throws the error of the system, such as EADDRINUSE; PlatformError in a browser
 */
export async function listen(fetch: Fetch, options: ListenOptions): Promise<Listening> {
  const { Deno } = globalThis as { Deno?: DenoGlobal }
  if (Deno !== undefined) return listenInDeno(Deno, fetch, options)
  if (hostProcess === null) throw new PlatformError('http server')
  return listenInNode(fetch, options)
}

/** Loads the bridge of Node's server, which Deno does not need. */
export function loadBridge(): Promise<typeof Bridge> {
  return import('@hono/node-server')
}

/** The requests that are being answered. */
class Answering {
  readonly #requests = new Set<Promise<void>>()

  get count(): number {
    return this.#requests.size
  }

  /** @param answered resolves when the request has been answered, or its client has left */
  add(answered: Promise<void>): void {
    this.#requests.add(answered)
    void answered.then(() => this.#requests.delete(answered))
  }

  /** @returns when those have been answered that are here now */
  async settled(): Promise<void> {
    await Promise.all(this.#requests)
  }
}

async function listenInNode(
  fetch: Fetch,
  { host, port, refuse, connections, refuseConnection }: ListenOptions,
): Promise<Listening> {
  const { getRequestListener } = await loadBridge()
  const options = { overrideGlobalObjects: false, errorHandler: () => refuse(ADDRESS) }
  const listener = getRequestListener(fetch, options)
  const refusing = getRequestListener(refuseConnection, options)
  const times = {
    requestTimeout: REQUEST_TIMEOUT,
    headersTimeout: REQUEST_TIMEOUT,
    keepAliveTimeout: KEPT_FOR,
  }
  const answering = new Answering()
  const server = builtin('node:http').createServer(times, (request, response) => {
    answering.add(new Promise((resolve) => response.once('close', resolve)))
    void (refused.has(request.socket) ? refusing : listener)(request, response)
  })
  const refused = limitConnections(server, connections)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const { port: bound } = server.address() as AddressInfo
  return {
    host,
    port: bound,
    close: () => closeInNode(server, answering),
    end: () => server.closeAllConnections(),
  }
}

/** Limits the connections of a server. @returns those past the limit, each of which is closed soon */
function limitConnections(server: NodeServer, limit: number): WeakSet<Socket> {
  const refused = new WeakSet<Socket>()
  let open = 0
  server.maxConnections = limit + REFUSED_CONNECTIONS
  server.on('connection', (socket) => {
    const isRefused = ++open > limit
    const timer = isRefused ? setTimeout(() => socket.destroy(), REFUSED_FOR) : undefined
    if (isRefused) refused.add(socket)
    socket.once('close', () => {
      open--
      clearTimeout(timer)
    })
  })
  return refused
}

/**
 * Connections that are kept for further requests are closed once they have none. Node does not count one as idle that has never
 * sent a request, such as a browser opens ahead: it is closed with the last answer.
 */
async function closeInNode(server: NodeServer, answering: Answering): Promise<void> {
  await answering.settled()
  return new Promise((resolve) => {
    const timer = setInterval(
      () => (answering.count === 0 ? server.closeAllConnections() : server.closeIdleConnections()),
      IDLE,
    )
    server.close(() => {
      clearInterval(timer)
      resolve()
    })
  })
}

async function listenInDeno(
  deno: DenoGlobal,
  fetch: Fetch,
  { host, port, refuse, connections, refuseConnection }: ListenOptions,
): Promise<Listening> {
  const onError = (): Response => refuse(ADDRESS)
  const answering = new Answering()
  const server = deno.serve(
    { hostname: host, port, onListen: () => {}, onError },
    async (request, { completed }) => {
      if (answering.count >= connections) return refuseConnection()
      answering.add(completed.catch(() => {}))
      return fetch(request)
    },
  )
  let end = (): void => {}
  const ended = new Promise<void>((resolve) => {
    end = () => {
      // Deno cannot end connections: they end with the process, which does not wait for them.
      server.unref()
      resolve()
    }
  })
  return {
    host,
    port: server.addr.port,
    close: () => Promise.race([answering.settled().then(() => server.shutdown()), ended]),
    end,
  }
}
