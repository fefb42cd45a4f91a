/**
 * There is a schema for each command that prints JSON, it allows what the command prints, and nothing else.
 *
 * All other tests of commands hold their output to it too (json_schema.ts).
 */
import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { schemaFile, schemaFolder } from '../../scripts/schemas.ts'
import { allFlags } from './options/commands.ts'
import { checkOutput, schemaOf } from './json_schema.ts'
import { runInside } from './run_inside.ts'

const commands = (await allFlags()).filter(({ flag }) => flag === '--json').map(({ command }) => command)

test('every command with --json has a schema, and every schema is of one', () => {
  expect(readdirSync(schemaFolder).toSorted()).toEqual(commands.map(schemaFile).toSorted())
  for (const command of commands) expect(schemaOf(command)).toBeTypeOf('function')
})

const line = ['generate', 'The captain', '--max-tokens', '2', '--json']

test('an object is allowed as it is printed, and not with a key less, a key more or a value of another type', async () => {
  const { stdout } = await runInside(line)
  const object = JSON.parse(stdout) as Record<string, unknown>
  const { tokens, ...fewer } = object
  for (const wrong of [
    fewer,
    { ...object, more: 1 },
    { ...object, tokens: 'two' },
    { ...object, end: 'never' },
    { ...object, tokensPerSecond: '9' },
  ])
    expect(() => checkOutput(line, JSON.stringify(wrong))).toThrow('shadowllm generate The captain')
  expect(tokens).toHaveLength(2)
  expect(() => checkOutput(line, stdout)).not.toThrow()
})

test('an object in each line is checked', () => {
  const line = ['worker', '--json']
  const end = { end: { done: 1, found: 0, failed: 0, returned: 0 } }
  expect(() => checkOutput(line, `${JSON.stringify(end)}\n`)).not.toThrow()
  expect(() => checkOutput(line, `${JSON.stringify(end)}\n{"end":{}}\n`)).toThrow('required property')
})
