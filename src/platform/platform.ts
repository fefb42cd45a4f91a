/**
 * The interface of `platform`, the only module that knows the runtime: Node, Deno or a browser.
 *
 * No file outside this folder names `node:`, `Deno`, `window` or `process`. This file can be imported everywhere; a feature that the
 * runtime lacks (a disk, the command line, a page) throws PlatformError when it is used.
 */
import { builtin, hostProcess } from './builtin.ts'
import { PlatformError } from './platform_error.ts'

export { PlatformError } from './platform_error.ts'
export * from './files.ts'
export * from './foreign.ts'
export * from './checksums.ts'
export * from './compiler_flags.ts'
export * from './lines.ts'
export * from './links.ts'
export { mountFolder, unmountFolder, type MountedFile } from './mounts.ts'
export * from './page.ts'
export * from './paths.ts'
export * from './refusals.ts'
export * from './storage.ts'
export * from './workers.ts'

/** The runtime. */
export interface Runtime {
  readonly name: 'node' | 'deno' | 'browser'
  readonly version: string
  /** Operating system and processor, such as "linux x64". */
  readonly system: string
}

interface DenoGlobal {
  version: { deno: string }
  noColor: boolean
}

/** The current runtime. */
export const runtime: Runtime = describeRuntime()

function describeRuntime(): Runtime {
  const { Deno } = globalThis as { Deno?: DenoGlobal }
  const system = hostProcess === null ? 'browser' : `${hostProcess.platform} ${hostProcess.arch}`
  if (Deno !== undefined) return { name: 'deno', version: Deno.version.deno, system }
  if (hostProcess !== null) return { name: 'node', version: hostProcess.versions.node, system }
  return { name: 'browser', version: globalThis.navigator?.userAgent ?? 'unknown', system }
}

/** The hardware. */
export interface Machine {
  readonly processor: string
  /** The number of hardware threads. */
  readonly threads: number
  /** Bytes of memory; null if unknown. */
  readonly totalMemory: number | null
  readonly freeMemory: number | null
}

/** The processor and the memory, as far as the runtime reports them. */
export function machine(): Machine {
  if (hostProcess === null) {
    const threads = globalThis.navigator?.hardwareConcurrency ?? 1
    return { processor: 'unknown', threads, totalMemory: null, freeMemory: null }
  }
  const os = builtin('node:os')
  return {
    processor: os.cpus()[0]?.model.trim() ?? 'unknown',
    threads: os.availableParallelism(),
    totalMemory: os.totalmem(),
    freeMemory: os.freemem(),
  }
}

/** How many threads of all programs wanted to run, averaged over the last minute; null in a browser. */
export function machineLoad(): number | null {
  return hostProcess === null ? null : builtin('node:os').loadavg()[0]
}

/** Bytes this process holds in memory; null in a browser. */
export function residentMemory(): number | null {
  return hostProcess === null ? null : hostProcess.memoryUsage.rss()
}

/** Milliseconds since a fixed moment, for measuring durations. */
export function now(): number {
  return performance.now()
}

/** The arguments of the command line. */
export function commandArguments(): string[] {
  return hostProcess === null ? [] : hostProcess.argv.slice(2)
}

/** An environment variable; undefined if it is not set, and in a browser. */
export function environment(name: string): string | undefined {
  return hostProcess?.env[name]
}

/** Ends the program with this code once it has nothing left to do; unlike `exit`, pending work completes. */
export function endWhenIdle(code: number): void {
  if (hostProcess === null) throw new PlatformError('exit code')
  const host = hostProcess
  host.exitCode = code
  // Node removes its signal handlers before an idle process ends, and a signal in between would kill the process.
  host.once('beforeExit', () => host.exit(code))
}

/** Ends the program at once. */
export function exit(code: number): never {
  if (hostProcess === null) throw new PlatformError('exit')
  return hostProcess.exit(code)
}

let waitsForThreads = true

/**
 * From now on the program waits for none of its threads when it ends: one of them may never do so. Its exit code stays. Node waits
 * for threads whatever they do, so a shell that only ends takes the place of the process; without one the process is killed.
 * Deno and browsers do not wait.
 */
export function endDespiteThreads(): void {
  if (hostProcess === null || 'Deno' in globalThis || !waitsForThreads) return
  if (!builtin('node:worker_threads').isMainThread) return
  waitsForThreads = false
  const host = hostProcess
  host.once('exit', (code) => {
    try {
      host.execve?.('/bin/sh', ['sh', '-c', `exit ${code}`], {})
    } catch {
      // There is no shell, or this is Windows.
    }
    host.kill(host.pid, 'SIGKILL')
  })
}

/** A signal that ends a program: a key, a request, or a terminal that has gone. */
export type Interrupt = 'SIGINT' | 'SIGTERM' | 'SIGHUP'

/**
 * Calls `handler` on these signals instead of ending. Node takes SIGHUP even where nohup has it ignored; of a process without a terminal,
 * as nohup leaves it, it is ignored here.
 * @returns a function that removes the handler
 */
export function onInterrupt(handler: (signal: Interrupt) => void): () => void {
  if (hostProcess === null) return () => {}
  const host = hostProcess
  const hasTerminal = host.stdout.isTTY || host.stderr.isTTY || host.stdin.isTTY
  const handlers = [
    ['SIGINT', handler],
    ['SIGTERM', handler],
    ['SIGHUP', hasTerminal ? handler : () => {}],
  ] as const
  for (const [signal, handle] of handlers) host.on(signal, handle)
  return () => {
    for (const [signal, handle] of handlers) host.off(signal, handle)
  }
}

export type Output = 'stdout' | 'stderr'

const guarded = new Set<Output>()

function stream(output: Output): NodeJS.WriteStream {
  if (hostProcess === null) throw new PlatformError(output)
  const found = hostProcess[output]
  if (!guarded.has(output)) {
    guarded.add(output)
    // Each write reports its own failure; without a listener the error would end the program.
    found.on('error', () => {})
  }
  return found
}

/** The error of a stream that threw, as in Deno. Such a stream emits no further events. */
const broken = new Map<Output, Error>()

/** Whether nobody reads a stream any more: its reader has closed it, or its terminal has gone. */
function isUnread(to: NodeJS.WriteStream, { code = '' }: NodeJS.ErrnoException): boolean {
  return code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED' || (code === 'EIO' && to.isTTY)
}

/**
 * Writes text or bytes; resolves when the stream has taken them. Output that nobody reads (`shadowllm masks | head`) is dropped,
 * because the command may still have files to write. Rejects with the system's error.
 */
export function write(output: Output, content: string | Uint8Array): Promise<void> {
  const to = stream(output)
  return new Promise((resolve, reject) => {
    const settle = (error?: NodeJS.ErrnoException | null): void => {
      if (error && !isUnread(to, error)) reject(error)
      else resolve()
    }
    const before = broken.get(output)
    if (before !== undefined) return settle(before)
    try {
      to.write(content, settle)
    } catch (error) {
      broken.set(output, error as Error)
      settle(error as Error)
    }
  })
}

/** Whether the stream is a terminal. */
export function isTerminal(output: Output): boolean {
  return hostProcess !== null && hostProcess[output].isTTY === true
}

/** Whether a stream shows colours: a terminal that has some, unless the variable NO_COLOR is set. */
export function hasColours(output: Output): boolean {
  if (!isTerminal(output)) return false
  // Reading the variable itself needs a permission in Deno.
  const { Deno } = globalThis as { Deno?: DenoGlobal }
  return Deno === undefined ? stream(output).hasColors() : !Deno.noColor
}

/** Columns of the terminal; 80 without one. */
export function terminalWidth(output: Output): number {
  return (hostProcess !== null && hostProcess[output].columns) || 80
}
