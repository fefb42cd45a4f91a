/**
 * The workflows that test and publish: what others wrote is pinned to a commit, a job has no more rights than it needs,
 * and npm is told where a package was built. Nothing is published that was not tested in the same job.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { root } from '../harness/syntax.ts'

const folder = join(root, '.github/workflows')
const workflows = readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8')] as const)
const release = workflows.find(([name]) => name === 'release.yml')?.[1] ?? ''

/** Lines that use an action by less than a commit, with the full version beside it. */
function unpinned(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => /\buses:/.test(line))
    .filter((line) => !/uses: [\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(line))
    .map((line) => line.trim())
}

/** What is wrong with how a workflow publishes. */
function publishingFaults(text: string): string[] {
  const steps = ['.ci/run', 'npm run build', 'npm publish'].map((step) => text.indexOf(`run: ${step}`))
  const isInOrder = steps.every((at, i) => at >= 0 && (i === 0 || at > steps[i - 1]))
  return [
    ...(isInOrder ? [] : ['it is not tested, built and published, in this order']),
    ...(/^ {6}id-token: write$/m.test(text) ? [] : ['the job may not say who it is']),
    ...(/run: npm publish .*--provenance/.test(text) ? [] : ['it is published without provenance']),
    ...(/^permissions:\n {2}contents: read$/m.test(text) ? [] : ['every job may write']),
    ...(text.includes('"$GITHUB_REF_NAME"') ? [] : ['the tag is not held against the version']),
  ]
}

test('there are workflows to check', () => expect(workflows.length).toBeGreaterThan(1))

describe('actions are pinned to a commit, the version beside it', () => {
  test.each(workflows)('in %s', (_, text) => {
    expect(text).toMatch(/\buses:/)
    expect(unpinned(text)).toEqual([])
  })

  test.each([
    'uses: actions/checkout@v6',
    'uses: actions/checkout@main',
    'uses: a/b@de0fac2e4500dabe0009e67214ff5f5447ce83dd',
  ])('%s is found', (line) => expect(unpinned(`- ${line}`)).toEqual([`- ${line}`]))
})

describe('a release is tested, built and published with provenance', () => {
  test('in release.yml', () => expect(publishingFaults(release)).toEqual([]))

  test.each([
    ['a release that is not tested', 'run: .ci/run', 'run: npm ci', 'it is not tested'],
    ['one before it is built', 'run: npm run build', 'run: npm run lint', 'it is not tested, built'],
    ['a job that may not say who it is', 'id-token: write', 'id-token: read', 'may not say'],
    ['a package of unknown origin', ' --provenance', '', 'without provenance'],
    ['rights of all jobs', 'permissions:\n  contents: read', 'permissions: write-all', 'every job may write'],
    ['a tag of another version', '"$GITHUB_REF_NAME"', '"v0"', 'the tag is not held'],
  ])('%s is found', (_, from, to, fault) => {
    expect(publishingFaults(release.replace(from, to))).toEqual([expect.stringContaining(fault)])
  })
})
