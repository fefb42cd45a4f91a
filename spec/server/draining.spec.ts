/**
 * A socket that is closed while an answer is being written: it listens until that answer has been sent, and then no longer.
 *
 * Tests src/platform/http_server.ts.
 */
import { createConnection, Server as NetServer } from 'node:net'
import { expect, test, vi } from 'vitest'
import { listen, type Listening } from '../../src/platform/http_server.ts'
import { runtime } from '../../src/platform/platform.ts'

const refuse = (): Response => new Response(null, { status: 400 })
const where = { host: '127.0.0.1', port: 0, refuse, connections: 64, refuseConnection: refuse }

/** Milliseconds that closing may take. */
const SOON = 2000

/** What clients see of a socket that is closed. */
interface Seen {
  /** The statuses of requests on connections of their own that came before the last answer had ended. */
  readonly during: readonly number[]
  /** The answer that was under way. */
  readonly answer: string
  /** Whether it closed once that answer had been sent, though others went on asking. */
  readonly isClosed: boolean
  /** The status of a request afterwards. */
  readonly after: number
  /** Whether another server could listen there. */
  readonly isFree: boolean
}

async function closed(of: typeof listen): Promise<Seen> {
  let isEnding = false
  let finish = (): void => {}
  const answer = (): Response =>
    new Response(
      new ReadableStream({
        start: (controller) => {
          controller.enqueue(new TextEncoder().encode('begun'))
          finish = () => {
            controller.enqueue(new TextEncoder().encode(' ended'))
            controller.close()
          }
        },
        cancel: () => void (finish = () => {}),
      }),
    )
  const ending = { status: 503, headers: { connection: 'close' } }
  const socket = await of(() => (isEnding ? new Response('ending', ending) : answer()), where)
  const url = `http://127.0.0.1:${socket.port}`
  const ask = (): Promise<number> =>
    fetch(url).then(
      async (response) => (await response.arrayBuffer(), response.status),
      () => 0,
    )
  const silent = createConnection({ host: '127.0.0.1', port: socket.port }).on('error', () => {})
  const under = await fetch(url)
  isEnding = true
  let isClosed = false
  const closing = socket.close().then(() => (isClosed = true))
  const during = [await ask(), await ask(), await ask()]
  const text = under.text().catch(() => 'cut')
  const over = new AbortController()
  const crowd = Array.from({ length: 3 }, async () => {
    while (!over.signal.aborted) await ask()
  })
  finish()
  await Promise.race([closing, new Promise((resolve) => setTimeout(resolve, SOON))])
  over.abort()
  await Promise.all(crowd)
  const [seen, after] = [isClosed, await ask()]
  const isFree = await listen(refuse, { ...where, port: socket.port }).then(
    async (next) => (await next.close(), true),
    () => false,
  )
  silent.destroy()
  if (!seen) socket.end()
  return { during, answer: await text, isClosed: seen, after, isFree }
}

const right: Seen = { during: [503, 503, 503], answer: 'begun ended', isClosed: true, after: 0, isFree: true }

test('a socket that is closed listens until the answers under way have been sent, and then no longer', async () => {
  expect(await closed(listen)).toEqual(right)
})

test('a socket with nothing to answer closes at once, though a connection is silent', async () => {
  const socket = await listen(refuse, where)
  const silent = createConnection({ host: '127.0.0.1', port: socket.port }).on('error', () => {})
  await new Promise((resolve) => silent.once('connect', resolve))
  const start = performance.now()
  await socket.close()
  expect(performance.now() - start).toBeLessThan(1000)
  silent.destroy()
})

const withClose =
  (close: (listening: Listening) => Promise<void>): typeof listen =>
  async (...args) => {
    const listening = await listen(...args)
    return { ...listening, close: () => close(listening) }
  }

/** Deno neither shows its socket nor can end connections. */
const ofNode: readonly [string, typeof listen][] = [
  [
    'stops listening first',
    async (...args) => {
      const spy = vi.spyOn(NetServer.prototype, 'listen')
      const listening = await listen(...args)
      const [server] = spy.mock.contexts as NetServer[]
      spy.mockRestore()
      return { ...listening, close: () => (server.close(), listening.close()) }
    },
  ],
  ['cuts the answer that is under way', withClose((one) => (one.end(), one.close()))],
]

test.each<[string, typeof listen]>([
  ...(runtime.name === 'node' ? ofNode : []),
  ['never stops', withClose(() => new Promise(() => {}))],
  ['says that it is closed and is not', withClose(() => Promise.resolve())],
  [
    'waits for requests that come later',
    async (fetch, options) => {
      let last = 0
      const noted: typeof fetch = (request) => {
        last = performance.now()
        return fetch(request)
      }
      const listening = await listen(noted, options)
      const close = async (): Promise<void> => {
        while (performance.now() - last < 500) await new Promise((resolve) => setTimeout(resolve, 1))
        await listening.close()
      }
      return { ...listening, close }
    },
  ],
])('a socket that %s is found', { timeout: 10 * SOON }, async (_, of) => {
  expect(await closed(of)).not.toEqual(right)
})
