/**
 * The server of a queue for tests: Valkey or Redis, if one is installed, on the loopback interface and with a folder of its
 * own. Otherwise the tests are skipped with the reason.
 *
 * Clients connect through a proxy whose port stays bound, so that no other process can take it while the server restarts. The
 * server tries free ports until it can bind one.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openQueue, parseQueueUrl, type QueueTools } from '../../src/jobs/connection.ts'

const program = ['valkey-server', 'redis-server'].find((name) => spawnSync(name, ['--version']).status === 0)

/** Why there is no server; null if there is one. */
export const whyNoServer: string | null =
  program === undefined ? 'expected valkey-server or redis-server (apt-get install valkey-server)' : null

/** A server. */
export interface TestServer {
  readonly port: number
  readonly url: string
  tools(): Promise<QueueTools>
  /** Ends it at once, as a power cut would, and starts it again with what its log of commands has. */
  restart(): Promise<void>
  stop(): Promise<void>
}

/** A proxy that can be cut: connections end, and new ones are refused. */
export interface Proxy {
  readonly port: number
  cut(): void
  mend(): void
  close(): Promise<void>
}

/** A proxy to a port of this machine. @param target the port; null refuses connections */
export async function startProxy(target: () => number | null): Promise<Proxy> {
  const sockets = new Set<Socket>()
  let isCut = false
  const server = createServer((near) => {
    const to = target()
    if (isCut || to === null) return void near.destroy()
    const far = connect(to, '127.0.0.1')
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one)
      one.on('error', () => {})
      one.on('close', () => {
        sockets.delete(one)
        other.destroy()
      })
      one.pipe(other)
    }
  })
  await listen(server)
  const drop = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: portOf(server),
    cut() {
      isCut = true
      drop()
    },
    mend() {
      isCut = false
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      drop()
      await closed
    },
  }
}

const listen = (server: Server): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })

const portOf = (server: Server): number => (server.address() as AddressInfo).port

/** A free port. Another process may take it at any moment. */
async function freePort(): Promise<number> {
  const probe = createServer()
  await listen(probe)
  const port = portOf(probe)
  await new Promise((resolve) => probe.close(resolve))
  return port
}

/** Provides a port without a server that no other process can take, because it is the local end of a connection. */
export async function withSilentPort(work: (port: number) => Promise<void>): Promise<void> {
  const server = createServer()
  await listen(server)
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
  const near = connect(portOf(server), '127.0.0.1')
  const far = await accepted
  try {
    await work(far.remotePort as number)
  } finally {
    near.destroy()
    far.destroy()
    await new Promise((resolve) => server.close(resolve))
  }
}

interface Launched {
  readonly child: ChildProcess
  readonly port: number
}

/** Starts a server that keeps an append-only file. */
export async function startServer(): Promise<TestServer> {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-queue-'))
  let running: Launched | null = await launch(folder)
  const proxy = await startProxy(() => running?.port ?? null)
  const url = `redis://127.0.0.1:${proxy.port}`
  const end = async (): Promise<void> => {
    const { child } = running as Launched
    running = null
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
  }
  return {
    port: proxy.port,
    url,
    tools: () => openQueue(parseQueueUrl(url)),
    async restart() {
      await end()
      running = await launch(folder)
    },
    async stop() {
      await end()
      await proxy.close()
      rmSync(folder, { recursive: true })
    },
  }
}

/** Starts the server on a port that it can bind. */
async function launch(folder: string): Promise<Launched> {
  for (;;) {
    const port = await freePort()
    const child = await launchOn(folder, port)
    if (child !== 'taken') return { child, port }
  }
}

async function launchOn(folder: string, port: number): Promise<ChildProcess | 'taken'> {
  const options = ['--bind', '127.0.0.1', '--port', `${port}`, '--dir', folder, '--save', '']
  const log = ['--appendonly', 'yes', '--appendfsync', 'everysec']
  const server = spawn(program as string, [...options, ...log], { stdio: ['ignore', 'pipe', 'ignore'] })
  const began = await new Promise<'ready' | 'taken'>((resolve, reject) => {
    let said = ''
    server.stdout.on('data', (text) => {
      said += text
      if (/ready to accept connections/i.test(said)) resolve('ready')
    })
    server.once('close', () => {
      if (/address already in use/i.test(said)) resolve('taken')
      else reject(new Error(`${program}: expected a server, got its end: ${said}`))
    })
    server.once('error', reject)
  })
  if (began === 'taken') return began
  server.stdout.resume()
  return server
}
