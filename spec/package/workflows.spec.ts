/**
 * The workflows that test and publish: what others wrote is pinned to a commit, a job has no more rights than it needs,
 * and npm is told where a package was built. Nothing is published that was not tested, and the job that publishes runs nothing
 * else: whatever runs there could state that it was built here.
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

/** The jobs of a workflow by name, each with its lines. */
function jobsOf(text: string): Map<string, string> {
  const [, jobs = ''] = text.split(/^jobs:$/m)
  return new Map(
    jobs.split(/^ {2}(?=[\w-]+:$)/m).flatMap((job) => {
      const [, name] = /^([\w-]+):$/m.exec(job) ?? []
      return name === undefined ? [] : [[name, job] as const]
    }),
  )
}

/** What a job runs: commands and actions, without their versions. */
const stepsOf = (job: string): string[] =>
  [...job.matchAll(/^ +(?:- )?(?:run|uses): +(.+)$/gm)].map(([, step]) =>
    step.replace(/@[0-9a-f]{40} .*$/, ''),
  )

/** What a job may run that can say who it is. */
const harmless: readonly RegExp[] = [
  /^actions\/(setup-node|download-artifact)$/,
  /^echo "\$SHA256  \$ARCHIVE" \| sha256sum --check --strict$/,
  /^npm publish "\.\/\$ARCHIVE" --ignore-scripts [ \w-]+$/,
]

/** Steps of jobs that can say who they are and that run more than a publication, and workflows whose jobs all can. */
function identityFaults(text: string): string[] {
  const [head] = text.split(/^jobs:$/m)
  const all = /id-token: write|write-all/.test(head) ? ['every job can say who it is'] : []
  const steps = [...jobsOf(text)]
    .filter(([, job]) => /id-token: write|permissions: write-all/.test(job))
    .flatMap(([name, job]) => stepsOf(job).map((step) => ({ name, step })))
    .filter(({ step }) => !harmless.some((one) => one.test(step)))
  return [...all, ...steps.map(({ name, step }) => `${name} can say who it is and runs ${step}`)]
}

/** What is wrong with how a workflow publishes. */
function publishingFaults(text: string): string[] {
  const jobs = jobsOf(text)
  const [test, build, publish] = ['test', 'build', 'publish'].map((name) => jobs.get(name) ?? '')
  const isInOrder =
    test.includes('run: .ci/run') &&
    /^ {4}needs: test$/m.test(build) &&
    build.includes('run: npm run build') &&
    /^ {4}needs: build$/m.test(publish)
  const [checked, published] = ['sha256sum --check --strict', 'npm publish'].map((step) =>
    publish.indexOf(step),
  )
  return [
    ...(isInOrder ? [] : ['it is not tested, built and published, in this order']),
    ...(/^ {6}id-token: write$/m.test(publish) ? [] : ['the job may not say who it is']),
    ...(/run: npm publish .*--provenance/.test(publish) ? [] : ['it is published without provenance']),
    ...(checked >= 0 && checked < published ? [] : ['the hash of the archive is not checked']),
    ...(/^permissions:\n {2}contents: read$/m.test(text) ? [] : ['every job may write']),
    ...(test.includes('"$GITHUB_REF_NAME"') ? [] : ['the tag is not held against the version']),
    ...([test, build].some((job) => job.includes('secrets.'))
      ? ['a job that runs packages has a secret']
      : []),
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
    ['one that does not wait for the tests', 'needs: test', 'needs: []', 'it is not tested, built'],
    ['an archive that may be another', 'sha256sum --check --strict', 'cat', 'the hash of the archive'],
    ['a secret where packages run', '- run: npm ci', '- run: echo ${{ secrets.NPM_TOKEN }}', 'has a secret'],
    ['a job that may not say who it is', 'id-token: write', 'id-token: read', 'may not say'],
    ['a package of unknown origin', ' --provenance', '', 'without provenance'],
    ['rights of all jobs', 'permissions:\n  contents: read', 'permissions: write-all', 'every job may write'],
    ['a tag of another version', '"$GITHUB_REF_NAME"', '"v0"', 'the tag is not held'],
  ])('%s is found', (_, from, to, fault) => {
    expect(publishingFaults(release.replace(from, to))).toEqual([expect.stringContaining(fault)])
  })
})

describe('a job that can say who it is publishes, and runs nothing else', () => {
  test.each(workflows)('in %s', (_, text) => expect(identityFaults(text)).toEqual([]))

  test('there is one in release.yml', () =>
    expect([...jobsOf(release)].filter(([, job]) => job.includes('id-token: write'))).toHaveLength(1))

  const check = '      - run: echo "$SHA256  $ARCHIVE" | sha256sum --check --strict'
  test.each([
    ['.ci/run'],
    ['npm ci'],
    ['npm install --ignore-scripts=false left-pad'],
    ['npx wasm-pack --version'],
    ['npm test'],
    ['node scripts/build.ts'],
    ['|'],
    ['npm publish "./$ARCHIVE" --access public'],
  ])('one that runs %s too is found', (command) => {
    const text = release.replace(check, `${check}\n      - run: ${command}`)
    expect(identityFaults(text)).toEqual([`publish can say who it is and runs ${command}`])
  })

  test('one that checks out the project is found', () => {
    const text = release.replace(check, `      - uses: actions/checkout@${'a'.repeat(40)} # v6.0.2\n${check}`)
    expect(identityFaults(text)).toEqual(['publish can say who it is and runs actions/checkout'])
  })

  test('the right of the job of tests, or of all jobs, is found', () => {
    const ofTests = release.replace('  test:\n', '  test:\n    permissions:\n      id-token: write\n')
    expect(identityFaults(ofTests)).toContain('test can say who it is and runs .ci/run')
    for (const rights of ['permissions: write-all', 'permissions:\n  id-token: write'])
      expect(identityFaults(release.replace('permissions:\n  contents: read', rights))).toEqual([
        'every job can say who it is',
      ])
  })
})

/** Lines that download a program whose hash nobody checks. */
const fetched = (text: string): string[] =>
  text.split('\n').filter((line) => !/^ *#/.test(line) && /\b(npx|curl|wget)\b/.test(line))

describe('no program is run that no lock file and no version names', () => {
  test.each(workflows)('in %s', (_, text) => expect(fetched(text)).toEqual([]))
  test('npx is found', () => expect(fetched('      - run: npx wasm-pack --version')).toHaveLength(1))
  test.each(workflows)('what cargo installs in %s has a version and a lock file', (_, text) => {
    for (const [, what] of text.matchAll(/cargo install (.*)/g))
      expect(what).toMatch(/^--locked( [\w-]+@\d+\.\d+\.\d+)+$/)
  })
})
