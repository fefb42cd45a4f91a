/**
 * The door of the only room that knows where the program runs: Node, Deno or a browser.
 *
 * No other file of the project names `node:`, `Deno`, `window` or `process`. Importing this file is safe everywhere;
 * what a browser does not have (a disk, the command line) throws PlatformError when it is used, and so does the page
 * where there is none.
 */
import { builtin, hostProcess } from './builtin.ts'
import { PlatformError } from './platform_error.ts'

export { PlatformError } from './platform_error.ts'
export * from './files.ts'
export * from './foreign.ts'
export * from './checksums.ts'
export * from './growing_file.ts'
export * from './links.ts'
export { mountFolder, unmountFolder } from './mounts.ts'
export * from './page.ts'
export * from './paths.ts'
export * from './refusals.ts'
export * from './storage.ts'
export * from './workers.ts'

/** What runs the program. */
export interface Runtime {
  readonly name: 'node' | 'deno' | 'browser'
  readonly version: string
  /** Operating system and processor, such as "linux x64". */
  readonly system: string
}

interface DenoGlobal {
  version: { deno: string }
}

/** Where the program runs. */
export const runtime: Runtime = describeRuntime()

function describeRuntime(): Runtime {
  const { Deno } = globalThis as { Deno?: DenoGlobal }
  const system = hostProcess === null ? 'browser' : `${hostProcess.platform} ${hostProcess.arch}`
  if (Deno !== undefined) return { name: 'deno', version: Deno.version.deno, system }
  if (hostProcess !== null) return { name: 'node', version: hostProcess.versions.node, system }
  return { name: 'browser', version: globalThis.navigator?.userAgent ?? 'unknown', system }
}

/** What the program runs on. */
export interface Machine {
  readonly processor: string
  /** How many threads run at once. */
  readonly threads: number
  /** Bytes; null where the runtime does not say. */
  readonly totalMemory: number | null
  readonly freeMemory: number | null
}

/** The processor and the memory, as far as the runtime tells. */
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

/** Bytes this process holds in memory; null in a browser. */
export function residentMemory(): number | null {
  return hostProcess === null ? null : hostProcess.memoryUsage.rss()
}

/** Milliseconds since some fixed moment, for measuring. */
export function now(): number {
  return performance.now()
}

/** What was written on the command line after the program's name. */
export function commandArguments(): string[] {
  return hostProcess === null ? [] : hostProcess.argv.slice(2)
}

/** An environment variable; undefined where it is not set, and in a browser. */
export function environment(name: string): string | undefined {
  return hostProcess?.env[name]
}

/** Ends the program with this code once it has nothing left to do. Nothing is cut off, unlike `exit`. */
export function endWhenIdle(code: number): void {
  if (hostProcess === null) throw new PlatformError('exit code')
  const host = hostProcess
  host.exitCode = code
  // Node removes its signal handlers before an idle process ends, and a signal in between would kill the process.
  host.once('beforeExit', () => host.exit(code))
}

/** Ends the program now. */
export function exit(code: number): never {
  if (hostProcess === null) throw new PlatformError('exit')
  return hostProcess.exit(code)
}

/** Calls `handler` on each ctrl-C, and on a request to end, instead of ending. Returns a function that stops this. */
export function onInterrupt(handler: () => void): () => void {
  if (hostProcess === null) return () => {}
  const host = hostProcess
  const signals = ['SIGINT', 'SIGTERM'] as const
  for (const signal of signals) host.on(signal, handler)
  return () => {
    for (const signal of signals) host.off(signal, handler)
  }
}

export type Output = 'stdout' | 'stderr'

const guarded = new Set<Output>()

function stream(output: Output): NodeJS.WriteStream {
  if (hostProcess === null) throw new PlatformError(output)
  const found = hostProcess[output]
  if (!guarded.has(output)) {
    guarded.add(output)
    // Each write hears of its own failure; without a listener the program would end here.
    found.on('error', () => {})
  }
  return found
}

/** What a stream failed with that has thrown, as Deno's do. Such a one is never heard of again. */
const broken = new Map<Output, Error>()

/** What a stream answers whose reader has left. */
const readerLeft = new Set(['EPIPE', 'ERR_STREAM_DESTROYED'])

/**
 * Writes text or bytes; resolves when the stream has taken them. What nobody reads any more (`shadowllm masks | head`) is
 * dropped: there may be files to write yet. Rejects with the system's error.
 */
export function write(output: Output, content: string | Uint8Array): Promise<void> {
  const to = stream(output)
  return new Promise((resolve, reject) => {
    const settle = (error?: NodeJS.ErrnoException | null): void => {
      if (error && !readerLeft.has(error.code ?? '')) reject(error)
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

/** Whether a person is looking. */
export function isTerminal(output: Output): boolean {
  return hostProcess !== null && hostProcess[output].isTTY === true
}

/** Columns of the terminal; 80 where there is none. */
export function terminalWidth(output: Output): number {
  return (hostProcess !== null && hostProcess[output].columns) || 80
}
