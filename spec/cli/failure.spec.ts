/**
 * Every error ends in one line and the exit code its kind promises.
 * Tests src/cli/flag_name.ts.
 */
import { CommanderError } from 'commander'
import { describe, expect, test } from 'vitest'
import { describeFailure } from '../../src/cli/failure.ts'
import { InputError, MissingError, UsageError } from '../../src/tensor/errors.ts'

describe('a failure is one line and an exit code', () => {
  test.each([
    [new UsageError('VALUE', 'a: expected b, got c'), 2],
    [new InputError('VALUE', 'a: expected b, got c'), 3],
    [new MissingError('VALUE', 'a: expected b, got c'), 4],
  ])('%s', (error, exitCode) => {
    expect(describeFailure(error, false)).toEqual({
      line: 'shadowllm: a: expected b, got c [VALUE]',
      exitCode,
    })
  })

  test('an option of two words is told as the flag that it was given by', () => {
    const refused = (option: string, before = ''): string =>
      describeFailure(new UsageError('X', `${before}${option}: expected 1, got 2`, { option }), false).line
    expect(refused('maxTokens', 'prompt and ')).toBe(
      'shadowllm: prompt and --max-tokens: expected 1, got 2 [X]',
    )
    expect(refused('maxTokens')).toBe('shadowllm: --max-tokens: expected 1, got 2 [X]')
    expect(refused('planner')).toBe('shadowllm: planner: expected 1, got 2 [X]')
  })

  test('an option of one word is told as a flag where the command has one, and as it is where it is an argument', () => {
    const refused = (message: string, error = UsageError): string =>
      describeFailure(new error('X', message), false, ['--context']).line
    expect(refused('context: expected 2, got 1')).toBe('shadowllm: --context: expected 2, got 1 [X]')
    expect(refused('prompt: expected 2, got 1')).toBe('shadowllm: prompt: expected 2, got 1 [X]')
    expect(refused('context of a: expected 2, got 1')).toBe('shadowllm: context of a: expected 2, got 1 [X]')
    expect(refused('context: expected 2, got 1', InputError)).toBe(
      'shadowllm: context: expected 2, got 1 [X]',
    )
  })

  test('line breaks of a message do not make a second line', () => {
    expect(describeFailure(new InputError('X', 'one\n  two\r\nthree'), false).line).toBe(
      'shadowllm: one two three [X]',
    )
  })

  test('an unknown flag is a usage error that suggests the nearest flag', () => {
    const error = new CommanderError(
      1,
      'commander.unknownOption',
      "error: unknown option '--sed'\n(Did you mean --seed?)",
    )
    expect(describeFailure(error, false)).toEqual({
      line: 'shadowllm: --sed: unknown option (did you mean --seed?) [UNKNOWN_OPTION]',
      exitCode: 2,
    })
  })

  test.each([
    ["missing required argument 'prompt'", 'prompt: expected an argument, got none; --help shows which'],
    ["option '--seed <number>' argument missing", '--seed: expected a value, got none'],
    ["option '-m, --model <name>' argument missing", '--model: expected a value, got none'],
    [
      "too many arguments for 'doctor'. Expected 0 arguments but got 2: a, b.",
      'arguments: expected 0, got a, b',
    ],
    [
      "too many arguments for 'chat'. Expected 0 arguments but got 2: a, b.",
      'arguments: expected 0, got a, b; "shadowllm generate --chat" answers one message',
    ],
    [
      "too many arguments for 'chat'. Expected 0 arguments but got 1: a.gguf.",
      'arguments: expected 0, got a.gguf; a model is named by its flag: -m FILE',
    ],
    [
      "unknown command 'Once upon a time'",
      'Once upon a time: unknown command (did you mean generate "Once upon a time"?); --help lists them',
    ],
    [
      "too many arguments for 'generate'. Expected 1 argument but got 2: a, b.",
      'arguments: expected 1, got a, b; words that are one text are quoted: "a b"',
    ],
    [
      "too many arguments for 'generate'. Expected 1 argument but got 2: a; b, c.",
      'arguments: expected 1, got a; b, c; words that are one text are quoted: "a b"',
    ],
    [
      "too many arguments for 'generate'. Expected 1 argument but got 2: dir/a.gguf, b.",
      'arguments: expected 1, got dir/a.gguf, b; a model is named by its flag: -m FILE',
    ],
    ["unknown option '--tokens'\n(Did you mean --moments?)", '--tokens: unknown option'],
    ["unknown command 'list'\n(Did you mean cost?)", 'list: unknown command; --help lists them'],
    ["unknown option '--prompts'", '--prompts: unknown option'],
    [
      "unknown command 'chatt'\n(Did you mean chat?)",
      'chatt: unknown command (did you mean chat?); --help lists them',
    ],
    [
      "unknown command 'tran'\n(Did you mean one of learn, train?)",
      'tran: unknown command (did you mean one of learn, train?); --help lists them',
    ],
  ])('what the parser calls %j is put as other errors are', (message, line) => {
    const error = new CommanderError(1, 'commander.x', `error: ${message}`)
    expect(describeFailure(error, false).line).toBe(`shadowllm: ${line} [X]`)
  })

  test.each([
    ["unknown option '--max-windows'", '--max-windows: unknown option (did you mean --windows?)'],
    ["unknown option '--generate'", '--generate: unknown option'],
    ["unknown command 'gen'", 'gen: unknown command (did you mean generate?); --help lists them'],
  ])('a name that is begun, or has a word more, is told the one that is meant: %s', (message, line) => {
    const error = new CommanderError(1, 'commander.x', `error: ${message}`)
    const known = ['--windows', '--output', 'generate', 'windows']
    expect(describeFailure(error, false, known).line).toBe(`shadowllm: ${line} [X]`)
  })

  test.each([
    ["unknown option '-n'", '-n: unknown option (did you mean --max-tokens?)'],
    ["unknown option '-t'", '-t: unknown option'],
    [
      "unknown option '--prompt'\n(Did you mean --prompt-share?)",
      '--prompt: unknown option; a prompt is written without a flag: "a prompt"',
    ],
    ["unknown option '-p'", '-p: unknown option; a prompt is written without a flag: "a prompt"'],
    [
      "too many arguments for 'perplexity'. Expected 0 arguments but got 1: a.txt.",
      'arguments: expected 0, got a.txt; a text is named by its flag: --text FILE',
    ],
    ["unknown command 'run'", 'run: unknown command (did you mean chat?); --help lists them'],
    ["unknown command 'evaluate'", 'evaluate: unknown command (did you mean eval?); --help lists them'],
  ])(
    'what is meant by a name of another program, or a file, is told where the command has it: %s',
    (message, line) => {
      const error = new CommanderError(1, 'commander.x', `error: ${message}`)
      expect(describeFailure(error, false, ['--max-tokens', '--text', 'chat', 'eval']).line).toBe(
        `shadowllm: ${line} [X]`,
      )
    },
  )

  test('help is no failure', () => {
    const error = new CommanderError(0, 'commander.helpDisplayed', '(outputHelp)')
    expect(describeFailure(error, false)).toEqual({ line: '', exitCode: 0 })
  })

  test('an abort is 130 whatever its source, and an unexpected error is called a bug', () => {
    expect(describeFailure(new DOMException('stop', 'AbortError'), false).exitCode).toBe(130)
    expect(describeFailure(new Error('x'), true).exitCode).toBe(130)
    expect(describeFailure(new RangeError('odd'), false)).toEqual({
      line: 'shadowllm: internal error: odd; --debug shows where [BUG]',
      exitCode: 70,
    })
  })

  test('a missing permission of the runtime is named', () => {
    const wanted = 'Requires sys access to "cpus", run again with the --allow-sys flag'
    const error = Object.assign(new Error(wanted), { name: 'NotCapable' })
    expect(describeFailure(error, false)).toEqual({
      line: `shadowllm: permissions: expected those that the command needs, got fewer: ${wanted} [PERMISSION]`,
      exitCode: 4,
    })
  })

  test('a typed error that arrives while stopping keeps its own code', () => {
    expect(describeFailure(new InputError('CUT', 'a: expected b, got c'), true).exitCode).toBe(3)
  })
})
