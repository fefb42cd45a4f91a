/**
 * What a user sees of an error: one line on stderr, and an exit code that scripts can rely on.
 *
 *   0  done
 *   1  ran, but a check failed
 *   2  usage: a wrong flag, value or library argument
 *   3  an input file was refused
 *   4  something is missing: a backend, a feature, a package, a permission, a calibration, a predictor, a free port, room on a disk
 *   5  network or cache
 *   70 a bug of ours
 *   130 interrupted
 */
import { CommanderError } from 'commander'
import { missingPermission } from '../platform/platform.ts'
import { nearestName } from '../tensor/arguments.ts'
import { ShadowError } from '../tensor/errors.ts'
import { flagName } from './flag_name.ts'

/** The exit codes that are not an error's own. */
export const exitCodes = { done: 0, checkFailed: 1, usage: 2, missing: 4, bug: 70, interrupted: 130 } as const

/** How a command ends that failed. */
export interface Failure {
  /** The one line, without its line break; empty after help. */
  readonly line: string
  readonly exitCode: number
}

/**
 * The line and the exit code an error ends the command with.
 * @param known flags of the command, and names of commands in its place
 */
export function describeFailure(
  error: unknown,
  interrupted: boolean,
  known: readonly string[] = [],
): Failure {
  if (error instanceof ShadowError)
    return { line: line(flagWords(error, known), error.code), exitCode: error.exitCode }
  if (error instanceof CommanderError) return describeCommander(error, known)
  if (interrupted || isAbort(error))
    return { line: line('interrupted', 'INTERRUPTED'), exitCode: exitCodes.interrupted }
  const wanted = missingPermission(error)
  if (wanted !== null) {
    const message = `permissions: expected those that the command needs, got fewer: ${wanted}`
    return { line: line(message, 'PERMISSION'), exitCode: exitCodes.missing }
  }
  const message = error instanceof Error ? error.message : String(error)
  return {
    line: line(`internal error: ${message}; --debug shows where`, 'BUG'),
    exitCode: exitCodes.bug,
  }
}

/** The message, with the flag in the place of the library's option: `--context` of `context`, `--max-tokens` of `maxTokens`. */
function flagWords({ message, option = '', exitCode }: ShadowError, known: readonly string[]): string {
  const [, name = ''] = /^([a-z][A-Za-z]*): expected /.exec(message) ?? []
  if (exitCode === exitCodes.usage && known.includes(flagName(name)))
    return message.replace(name, flagName(name))
  if (!/^[a-z]+[A-Z][A-Za-z]*$/.test(option)) return message
  // Before the first colon stands what the error is about.
  return message.replace(new RegExp(`^([^:]*)\\b${option}\\b`), `$1${flagName(option)}`)
}

/** Whether an error is the abort of its work. */
export function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}

function line(message: string, code: string): string {
  return `shadowllm: ${message.replace(/\s+/g, ' ').trim()} [${code}]`
}

/** commander's own errors are usage errors; showing help or the version is not an error at all. */
function describeCommander(error: CommanderError, known: readonly string[]): Failure {
  if (error.exitCode === 0 || error.code === 'commander.help') return { line: '', exitCode: exitCodes.done }
  const code = error.code.replace('commander.', '').replace(/[A-Z]/g, '_$&').toUpperCase()
  const message = reworded.reduce((text, [form, words]) => text.replace(form, words), error.message)
  // The parser knows other letters; a name that is only begun, or has a word more, is looked for here.
  const hinted = message.replace(/^(-*)(\S+): unknown (?:command|option)(?=;|$)/, (found, dashes, name) => {
    const names = known
      .filter((one) => /^-*/.exec(one)?.[0] === dashes)
      .map((one) => one.slice(dashes.length))
    const near = nearestName(name, names, 0)
    return near === null ? found : `${found} (did you mean ${dashes}${near}?)`
  })
  return { line: line(elsewhereHint(hinted, known), code), exitCode: exitCodes.usage }
}

/** What other programs call flags and commands, with the names that they have here. */
const elsewhere: ReadonlyMap<string, string> = new Map([
  ...['-n', '--n', '--tokens', '--n-predict', '--num-predict', '--max-new-tokens'].map(
    (name) => [name, '--max-tokens'] as const,
  ),
  ['--temp', '--temperature'],
  ['-t', '--threads'],
  ...['-f', '--file'].map((name) => [name, '--text'] as const),
  ...['-ngl', '--n-gpu-layers', '--gpu-layers'].map((name) => [name, '--backend'] as const),
  ...['-c', '--ctx-size', '--num-ctx'].map((name) => [name, '--context'] as const),
  ['run', 'chat'],
  ['ask', 'generate'],
  ['complete', 'generate'],
  ['completion', 'generate'],
  ['evaluate', 'eval'],
  ['ppl', 'perplexity'],
  ['predict', 'masks'],
])

/** The message with the name that is meant by one of another program, if nothing nearer is named. */
function elsewhereHint(message: string, known: readonly string[]): string {
  const [unknown, name] = /^(\S+): unknown (?:command|option)/.exec(message) ?? ['', '']
  if (/^-(p|-prompt)$/.test(name) && known.includes('--max-tokens'))
    return `${unknown}; a prompt is written without a flag: "a prompt"`
  const file = /^arguments: expected 0, got [^,]+\.(txt|md|jsonl?|parquet)\b/
  if (file.test(message) && known.includes('--text'))
    return `${message}; a text is named by its flag: --text FILE`
  const meant = elsewhere.get(name)
  if (meant === undefined || !known.includes(meant) || message.includes('did you mean')) return message
  return message.replace(unknown, `${unknown} (did you mean ${meant}?)`)
}

/** commander's words in the form of all other errors. */
const reworded: readonly (readonly [form: RegExp, words: string])[] = [
  [/^error: /, ''],
  [/^missing required argument '(.*)'$/, '$1: expected an argument, got none; --help shows which'],
  [/^option '(?:\S+, )?(--[\w-]+).*' argument missing$/, '$1: expected a value, got none'],
  [
    /^too many arguments for 'chat'\. .* got \d+: (?![^,]+\.gguf\b)(.*)\.$/s,
    'arguments: expected 0, got $1; "shadowllm generate --chat" answers one message',
  ],
  [/^too many arguments.*\. Expected (\d+) .* got \d+: (.*)\.$/s, 'arguments: expected $1, got $2'],
  [/^(arguments: expected \d+, got [^,]+\.gguf\b.*)$/s, '$1; a model is named by its flag: -m FILE'],
  [
    /^(arguments: expected [1-9]\d*, got (?![^,]+\.gguf\b).*)$/s,
    '$1; words that are one text are quoted: "a b"',
  ],
  [/^unknown (\S+) '(.*)'/, '$2: unknown $1'],
  [/\s+\(Did you mean /, ' (did you mean '],
  // Of another first letter a command or a flag is not what was meant.
  [/^((?:--)?.)(.*: unknown (?:command|option)) \(did you mean (?!\1|one of ).*\)$/, '$1$2'],
  // Words with spaces are a prompt.
  [/^(\S.*\s.*): unknown command$/s, '$1: unknown command (did you mean generate "$1"?)'],
  [/: unknown command.*$/, '$&; --help lists them'],
]
