/**
 * One run of the command line: where its output goes, what stops it, how it ends.
 *
 * Data goes to `print`, progress to `progress` (stderr). The first ctrl-C aborts `signal`, and commands
 * then keep what they have; a second one ends the process at once. The exit code is 130 if the work was interrupted, and the
 * code of the work if it was already complete; no signal kills the process.
 */
import {
  allowJoining,
  canJoinVectors,
  commandArguments,
  endWhenIdle,
  environment,
  exit,
  now,
  onInterrupt,
  openLines,
  type LineInput,
} from '../platform/platform.ts'
import { UsageError } from '../tensor/errors.ts'
import { exitCodes } from './failure.ts'
import { Interrupts } from './interrupts.ts'
import { openTerminal, type Terminal } from './terminal.ts'

/** What a command is given: arguments, environment, streams and ctrl-C, of a process or of a test. */
export interface Session extends Terminal {
  /** The arguments behind the name of the program. */
  readonly args: readonly string[]
  /** A variable of the environment; undefined if it is not set. The library reads those of the hub and of queues itself. */
  environment(name: string): string | undefined
  /** Aborted by ctrl-C. */
  readonly signal: AbortSignal
  /** Opens standard input. Close it; `signal` closes it too, and then its next line is null. */
  lines(): LineInput
  /** Takes ctrl-C from the session, until the returned function is called. SIGTERM and SIGHUP still abort `signal`. */
  takeInterrupts(handler: () => void): () => void
  /**
   * Lets backends use vectors of 32 bytes, or not; by default as SHADOWLLM_WIDE says, which is on if it is not set.
   * @throws UsageError WIDE if it says something else
   */
  joinVectors(choice?: 'on' | 'off'): void
  /** What the command ends with if nothing fails; 0 until a check fails. */
  exitCode: number
}

/** The session of a process. */
export interface ProcessSession extends Session {
  /** Called when the work is complete: the process ends with this code once it has nothing left to do. */
  end(code: number): void
}

/** Opens the session of this process. */
export function openSession(): ProcessSession {
  const interrupt = new AbortController()
  const interrupts = new Interrupts()
  let endsWith: number = exitCodes.interrupted
  let taken: (() => void) | null = null
  onInterrupt((signal) => {
    if (taken && signal === 'SIGINT') return taken()
    const what = interrupts.take(now())
    if (what === 'ends the work') interrupt.abort()
    if (what === 'ends the process') exit(endsWith)
  })
  return {
    args: commandArguments(),
    environment,
    ...openTerminal(),
    signal: interrupt.signal,
    exitCode: exitCodes.done,
    lines() {
      const lines = openLines()
      // A line that is waited for may never come.
      interrupt.signal.addEventListener('abort', () => lines.close(), { once: true })
      return lines
    },
    joinVectors(choice) {
      // Deno allows no look at the environment by itself, and has nothing to choose.
      if (canJoinVectors()) allowJoining((choice ?? usualChoice()) === 'on')
    },
    takeInterrupts(handler) {
      taken = handler
      return () => void (taken = null)
    },
    end(code) {
      endsWith = code
      endWhenIdle(code)
    },
  }
}

/**
 * The whole standard input, without the line break at its end.
 * @throws AbortError after ctrl-C
 */
export async function readInput(session: Session): Promise<string> {
  const lines = session.lines()
  const all: string[] = []
  try {
    for (let line = await lines.next(''); line !== null; line = await lines.next('')) {
      if (typeof line !== 'string') throw new DOMException('interrupted', 'AbortError')
      all.push(line)
    }
    session.signal.throwIfAborted()
  } finally {
    lines.close()
  }
  return all.join('\n')
}

/** What SHADOWLLM_WIDE says of vectors of 32 bytes. */
function usualChoice(): string {
  const choice = environment('SHADOWLLM_WIDE') || 'on'
  if (choice === 'on' || choice === 'off') return choice
  throw new UsageError('WIDE', `SHADOWLLM_WIDE: expected one of on, off, got ${choice}`)
}
