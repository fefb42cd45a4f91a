/**
 * A queue's server for laws: Valkey or Redis where either is installed, on a free port of this machine alone, with a
 * folder of its own. Where neither is, the laws are skipped with the reason.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
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

/** A port that nothing listens on. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.on('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => resolve(port))
    })
  })
}

/** Starts a server that keeps an append-only file. */
export async function startServer(): Promise<TestServer> {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-queue-'))
  const port = await freePort()
  const url = `redis://127.0.0.1:${port}`
  let server = await launch(folder, port)
  const end = async (): Promise<void> => {
    if (server.exitCode !== null || server.signalCode !== null) return
    const ended = new Promise((resolve) => server.once('exit', resolve))
    server.kill('SIGKILL')
    await ended
  }
  return {
    port,
    url,
    tools: () => openQueue(parseQueueUrl(url)),
    async restart() {
      await end()
      server = await launch(folder, port)
    },
    async stop() {
      await end()
      rmSync(folder, { recursive: true })
    },
  }
}

async function launch(folder: string, port: number): Promise<ChildProcess> {
  const options = ['--bind', '127.0.0.1', '--port', `${port}`, '--dir', folder, '--save', '']
  const log = ['--appendonly', 'yes', '--appendfsync', 'everysec']
  const server = spawn(program as string, [...options, ...log], { stdio: ['ignore', 'pipe', 'ignore'] })
  await new Promise<void>((resolve, reject) => {
    let said = ''
    server.stdout.on('data', (text) => {
      said += text
      if (/ready to accept connections/i.test(said)) resolve()
    })
    server.once('exit', () => reject(new Error(`${program}: expected a server, got its end: ${said}`)))
    server.once('error', reject)
  })
  server.stdout.resume()
  return server
}
