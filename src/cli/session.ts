/**
 * One run of the command line: where its output goes, what stops it, how it ends.
 *
 * Data goes to `print`, progress to `progress` (stderr, only on a terminal). The first ctrl-C aborts `signal`, and commands
 * then keep what they have; a second one ends the process at once. The exit code is 130 if the work was interrupted, and the
 * code of the work if it was already complete; no signal kills the process.
 */
import {
  commandArguments,
  endWhenIdle,
  environment,
  exit,
  isTerminal,
  now,
  onInterrupt,
  openLines,
  terminalWidth,
  write,
  type LineInput,
} from '../platform/platform.ts'
import { exitCodes } from './failure.ts'
import { whileWriting } from './output.ts'
import { makeProgressLine, type ProgressLine } from './progress.ts'
import { screenOf, type Screen } from './screen.ts'

/** What a command is given: arguments, environment, streams and ctrl-C, of a process or of a test. */
export interface Session {
  /** The arguments behind the name of the program. */
  readonly args: readonly string[]
  /** A variable of the environment; undefined if it is not set. The library reads those of the hub and of queues itself. */
  environment(name: string): string | undefined
  /** Aborted by ctrl-C. */
  readonly signal: AbortSignal
  readonly progress: ProgressLine
  /** Writes data to stdout. @throws UsageError OUTPUT if there is no room for it */
  print(text: string): Promise<void>
  /** Writes a line to stderr: what a command has to say that is not its data. */
  note(text: string): Promise<void>
  /** Writes why the command failed to stderr, as far as that can be written. */
  complain(text: string): Promise<void>
  /** Opens standard input. Close it. */
  lines(): LineInput
  /** Takes ctrl-C from the session, until the returned function is called. SIGTERM still aborts `signal`. */
  takeInterrupts(handler: () => void): () => void
  /** Whether stdout is a terminal, which obeys control characters. */
  readonly isTerminal: boolean
  /** What `print` writes for. */
  readonly screen: Screen
  /** Turns progress off. */
  quieten(): void
  /** What the command ends with if nothing fails; 0 until a check fails. */
  exitCode: number
}

/** npm and the launcher pass a ctrl-C on to a process that had it from the terminal already: that is one ctrl-C. */
const sameKeyPress = 300 // ms

/** The session of a process. */
export interface ProcessSession extends Session {
  /** Called when the work is complete: the process ends with this code once it has nothing left to do. */
  end(code: number): void
}

/** Opens the session of this process. */
export function openSession(): ProcessSession {
  const interrupt = new AbortController()
  let firstAt = 0
  let endsWith: number = exitCodes.interrupted
  let taken: (() => void) | null = null
  onInterrupt((signal) => {
    if (taken && signal === 'SIGINT') return taken()
    if (!interrupt.signal.aborted) {
      firstAt = now()
      interrupt.abort()
    } else if (now() - firstAt > sameKeyPress) exit(endsWith)
  })
  const watched = isTerminal('stderr')
  let quiet = !watched
  const line = makeProgressLine({
    watched,
    columns: () => terminalWidth('stderr'),
    write: (text) => void write('stderr', text).catch(() => {}),
    now,
  })
  const progress: ProgressLine = {
    update: (update) => {
      if (!quiet) line.update(update)
    },
    clear: line.clear,
  }
  return {
    args: commandArguments(),
    environment,
    signal: interrupt.signal,
    progress,
    exitCode: exitCodes.done,
    print(text) {
      progress.clear()
      return whileWriting('stdout', () => write('stdout', text))
    },
    note(text) {
      progress.clear()
      return write('stderr', `${text}\n`)
    },
    // Where even that cannot be written, the exit code has to do.
    complain: (text) => write('stderr', text).catch(() => {}),
    lines: openLines,
    takeInterrupts(handler) {
      taken = handler
      return () => void (taken = null)
    },
    isTerminal: isTerminal('stdout'),
    screen: screenOf('stdout'),
    quieten() {
      quiet = true
    },
    end(code) {
      endsWith = code
      endWhenIdle(code)
    },
  }
}
