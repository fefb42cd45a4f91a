/**
 * Every example of every help runs, and one that does not would be found.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import { examplesOfHelp, faultsOfExamples } from './help_examples.ts'
import { helpNames, helpOf } from './helps.ts'

const folder = temporaryFolder()

function emptyFolder(name: string): string {
  const own = join(folder, name)
  mkdirSync(own)
  return own
}

test.each(helpNames)('the examples of the help of %j run, in their order', async (name) => {
  const help = await helpOf(name)
  expect(examplesOfHelp(help)).not.toEqual([])
  expect(await faultsOfExamples(help, emptyFolder(name || 'program'))).toEqual([])
})

test.each([
  ['a flag that is misspelt', 'generate "The captain" --sparsty 0.3', 'UNKNOWN_OPTION'],
  ['a value that is refused', 'generate "The captain" --sparsity 3', 'SPARSITY'],
  ['an amount that is refused', 'calibrate -o traces --limit none', 'VALUE'],
  ['flags that need another one', 'masks "The captain" --all-layers -o mask.safetensors', 'FLAGS'],
  ['a file that nothing promises', 'inspect --texts 2 embeded', 'MODEL_MISSING'],
  ['a queue beside a wrong flag', 'jobs --queue redis://127.0.0.1 --retries', 'UNKNOWN_OPTION'],
  ['an input that is cut', "printf '' | shadowllm generate -", 'PROMPT'],
])('an example with %s is found', async (what, example, code) => {
  const line = example.includes('|') ? example : `shadowllm ${example}`
  const faults = await faultsOfExamples(`Examples:\n  $ ${line}`, emptyFolder(what))
  expect(faults).toEqual([expect.stringContaining(`[${code}`)])
})

test('an example that reads what an earlier one wrote under another name is found', async () => {
  const help =
    'Examples:\n  $ shadowllm masks "The captain" -o mask.safetensors\n  $ shadowllm convert DIR out --mask mask.txt'
  expect(await faultsOfExamples(help, emptyFolder('names'))).toEqual([expect.stringContaining('convert')])
})
