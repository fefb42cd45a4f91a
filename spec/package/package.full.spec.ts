/**
 * The published package: what is in it, and that it does what the sources do: in Node, in Deno, from a bundle, in a page,
 * for the compiler.
 *
 * One build, one archive and one installation serve all of it; the project lies outside of this checkout, so that nothing
 * here is found by chance.
 */
import { build as bundle } from 'esbuild'
import { existsSync } from 'node:fs'
import { cp, mkdir, readdir, readFile, stat, symlink, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { kernels } from '../../src/ops/catalog.ts'
import { runtime } from '../../src/platform/platform.ts'
import { methodHash } from '../../src/results/method_hash.ts'
import { ShadowModel } from '../../src/library/shadow_model.ts'
import { root } from '../harness/syntax.ts'
import { chromiumPath, startChromium, watchPage, withoutChromium, type PageSaid } from '../web/chromium.ts'
import { serveFolder } from '../web/static_server.ts'
import * as contents from './contents.ts'
import { installProject, type Outcome, type Project } from './install.ts'
import { asked, pageProgram, program, typedProgram, type Said } from './program.ts'

const deno = join(root, 'node_modules/.bin/deno')
/** Building, packing and installing; then each project. */
const patience = 300_000
/** npm packs and installs, and is a program of Node's. */
const isNode = runtime.name === 'node'
const describeInNode = describe.skipIf(!isNode)
const why = isNode ? '' : ' (skipped: npm needs Node)'

let project: Project
let files: contents.Files
let manifest: contents.Manifest
let expected: Said

beforeAll(async () => {
  if (!isNode) return
  project = await installProject()
  files = new Map(project.packed.files.map(({ path, size }) => [path, size]))
  manifest = JSON.parse(await packedText('package.json')) as contents.Manifest
  expected = await saidBySources()
}, patience)

afterAll(() => project?.remove())

function packedText(path: string): Promise<string> {
  return readFile(join(project.folder, 'node_modules/shadowllm', path), 'utf8')
}

async function saidBySources(): Promise<Said> {
  const opt = await ShadowModel.fromPretrained('embedded', { backend: 'reference' })
  let text = ''
  for await (const step of opt.generate(asked.prompt, asked.options)) text += step.text
  await opt.dispose()
  return { text, ops: Object.keys(kernels).length, sameBits: true }
}

/** What the program said. */
function saidIn({ code, stdout, stderr }: Outcome): Said {
  expect(code, stderr).toBe(0)
  return JSON.parse(/^result (.*)$/m.exec(stdout)?.[1] ?? expect.unreachable(stdout + stderr)) as Said
}

/** A page with one module; it has no picture of its own to be fetched. */
function pageOf(module: string): string {
  return `<!doctype html><title>a user</title><link rel="icon" href="data:,"><script type="module" ${module}</script>`
}

/**
 * What comes of a page of the project, with threads and without, which must be the same; nothing may go wrong in it.
 * @param page its folder, below the one that is served
 */
async function inPage<Result>(
  folder: string,
  page: string,
  read: (tab: Page, heard: PageSaid) => Promise<Result>,
): Promise<Result> {
  const browser = await startChromium()
  const results: Result[] = []
  try {
    for (const isolated of [true, false]) {
      const server = await serveFolder(join(project.folder, folder), isolated)
      try {
        const tab = await browser.newPage()
        const heard = watchPage(tab)
        await tab.goto(server.url + page)
        results.push(await read(tab, heard))
        expect(heard.faults).toEqual([])
        await tab.close()
      } finally {
        await server.close()
      }
    }
  } finally {
    await browser.close()
  }
  expect(results[1]).toEqual(results[0])
  return results[0]
}

/** What the program said in a page. */
function saidInPage(folder: string, page: string): Promise<Said> {
  return inPage(folder, page, async (_, { lines, faults }) => {
    const all = (): string => [...lines, ...faults].join('\n')
    await expect.poll(all, { timeout: patience }).toMatch(/^result|error/im)
    return saidIn({ code: 0, stdout: lines.join('\n'), stderr: faults.join('\n') })
  })
}

describeInNode(`what is packed${why}`, () => {
  test('is what package.json names, and nothing else', () => {
    expect(contents.namedFilesArePacked(manifest, files)).toEqual([])
    expect(Object.keys(manifest.exports).length).toBeGreaterThan(9)
  })

  test('names no workspaces, which are not in it', () => {
    expect(manifest).not.toHaveProperty('workspaces')
  })

  test('installs no Node and runs nothing at installation', () => {
    expect(contents.installationIsPlain(manifest)).toEqual([])
  })

  test('names the licence of each package in its modules, with its text', async () => {
    const path = [...files.keys()].find((name) => name.endsWith('/LICENSES.txt')) ?? expect.unreachable()
    expect(contents.withoutLicence(await packedText(path))).toEqual([])
  })

  test('is bounded in size', () => {
    expect(contents.sizeIsBounded(project.packed.size, files)).toEqual([])
  })

  test('is installed with few other packages, and in few bytes', async () => {
    const folder = join(project.folder, 'node_modules')
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    const sizes = await Promise.all(
      entries
        .filter((entry) => entry.isFile())
        .map(async ({ parentPath, name }) => {
          const path = join(parentPath, name)
          return [path, (await stat(path)).size] as const
        }),
    )
    const lock = JSON.parse(await readFile(join(folder, '.package-lock.json'), 'utf8')) as contents.Lock
    const packages = Object.keys(lock.packages)
    expect(packages).toContain('node_modules/shadowllm')
    expect(contents.installationIsBounded(packages, new Map(sizes))).toEqual([])
  })

  test('names no missing module, type or file', async () => {
    const modules = [...files.keys()].filter((path) => /^dist\/.*\.js$/.test(path))
    expect(modules.length).toBeGreaterThan(300)
    const texts = await Promise.all(modules.map(async (path) => [path, await packedText(path)] as const))
    const faults = texts.flatMap(([path, text]) => contents.namedModulesArePacked(path, text, files))
    expect(faults).toEqual([])
  })

  test('has effects on import only where sideEffects says so', { timeout: patience }, async () => {
    const modules = [...files.keys()].filter((path) => /^dist\/.*\.js$/.test(path))
    const finder = join(root, 'spec/package/find_effects.ts')
    const folder = join(project.folder, 'node_modules/shadowllm')
    // Modules of commands import packages that are asked for by name.
    const links: string[] = []
    for (const name of Object.keys(manifest.peerDependencies)) {
      const link = join(project.folder, 'node_modules', name)
      await mkdir(dirname(link), { recursive: true })
      await symlink(join(root, 'node_modules', name), link)
      links.push(link)
    }
    const { code, stdout, stderr } = await project.run(process.execPath, finder, folder, ...modules)
    for (const link of links) await unlink(link)
    expect(code, stderr).toBe(0)
    expect((JSON.parse(stdout) as string[]).map((path) => `./${path}`).sort()).toEqual(manifest.sideEffects)
  })
})

describeInNode(`in a clean project${why}`, () => {
  test(
    'in Node: the library and its subpaths give the results of the sources',
    { timeout: patience },
    async () => {
      await project.write('main.js', program)
      expect(saidIn(await project.run('node', 'main.js'))).toEqual(expected)
    },
  )

  test(
    'in Node: results of the package and of the sources have one method',
    { timeout: patience },
    async () => {
      const path = './node_modules/shadowllm/dist/results/method_hash.js'
      const text = `import { methodHash } from '${path}'\nconsole.log(JSON.stringify(await methodHash()))\n`
      await project.write('method.js', text)
      const { code, stdout, stderr } = await project.run('node', 'method.js')
      expect(code, stderr).toBe(0)
      expect(JSON.parse(stdout)).toEqual(await methodHash())
    },
  )

  test('in Node: the command', { timeout: patience }, async () => {
    const choices = ['--planner', 'shadow', '--sparsity', '0.5', '--max-tokens', '12']
    const { code, stdout, stderr } = await project.run(
      'npx',
      'shadowllm',
      'generate',
      asked.prompt,
      ...choices,
    )
    expect(code, stderr).toBe(0)
    expect(stdout.trimEnd()).toBe(expected.text)
    const refused = await project.run('npx', 'shadowllm', 'generate', '--sparsity', '2', 'x')
    expect(refused.code).toBe(2)
  })

  test('in an old Node: the command and the library say which version is expected', async () => {
    const old = `Object.defineProperty(process.versions, 'node', { value: '20.20.2' })\n`
    const library = `const { ShadowModel } = await import('shadowllm')\nawait ShadowModel.fromPretrained()\n`
    const command = `await import('./node_modules/shadowllm/dist/cli/main.js')\n`
    for (const text of [library, command]) {
      await project.write('main.js', old + text)
      const { stderr } = await project.run('node', 'main.js')
      expect(stderr).toMatch(/node: expected version 22\.18 or newer, got 20\.20\.2; "npm i node@24"/)
    }
  })

  test.skipIf(!existsSync(deno))(
    `of Deno${existsSync(deno) ? '' : ' (skipped: the package deno is not installed)'}`,
    { timeout: patience },
    async () => {
      await project.write('main.js', program)
      await project.write('deno.json', JSON.stringify({ nodeModulesDir: 'manual' }))
      expect(saidIn(await project.run(deno, 'run', '-A', '--no-remote', 'main.js'))).toEqual(expected)
    },
  )

  test('bundled by esbuild for Node, without configuration', { timeout: patience }, async () => {
    const entry = await project.write('main.js', pageProgram)
    await bundle({
      absWorkingDir: project.folder,
      bundle: true,
      entryPoints: [entry],
      format: 'esm',
      logLevel: 'silent',
      outfile: join(project.folder, 'bundled/main.js'),
      platform: 'node',
    })
    expect(saidIn(await project.run('node', 'bundled/main.js'))).toEqual(expected)
  })

  test.skipIf(chromiumPath === null)(
    `in a page, packed by vite without configuration${withoutChromium}`,
    { timeout: patience },
    async () => {
      await project.write('main.js', pageProgram)
      await project.write('index.html', pageOf('src="./main.js">'))
      const vite = join(root, 'node_modules/vite/bin/vite.js')
      const { code, stdout, stderr } = await project.run('node', vite, 'build', '--outDir', 'site')
      expect(code, stderr).toBe(0)
      expect(stdout + stderr).not.toMatch(/warn|doesn't exist at build time/i)
      expect(await saidInPage('site', '')).toEqual(expected)
    },
  )

  test.skipIf(chromiumPath === null)(
    `in a page, bundled by esbuild without configuration, beside what esbuild leaves where it is${withoutChromium}`,
    { timeout: patience },
    async () => {
      const entry = await project.write('main.js', pageProgram)
      await bundle({
        absWorkingDir: project.folder,
        bundle: true,
        entryPoints: [entry],
        format: 'esm',
        logLevel: 'silent',
        outfile: join(project.folder, 'bundled/main.js'),
      })
      // A URL of a file is none of esbuild's business: the model and the module of threads are served as they are.
      const own = join(project.folder, 'node_modules/shadowllm')
      await cp(join(own, 'fixtures'), join(project.folder, 'fixtures'), { recursive: true })
      await cp(join(own, 'dist/browser/thread_worker.js'), join(project.folder, 'bundled/thread_worker.js'))
      await project.write('bundled/index.html', pageOf('src="./main.js">'))
      expect(await saidInPage('.', 'bundled/')).toEqual(expected)
    },
  )

  test.skipIf(chromiumPath === null)(
    `in a page, as the files are, without a bundler${withoutChromium}`,
    { timeout: patience },
    async () => {
      await project.write('page.html', await readFile(join(root, 'examples/page.html'), 'utf8'))
      const said = await inPage('.', 'page.html', async (tab) => {
        const output = tab.locator('output[data-state=done]')
        return output.textContent()
      })
      expect(said).toBe(asked.prompt + expected.text)
    },
  )

  test.each([
    ['nodenext', 'nodenext', { lib: ['es2024', 'dom'], types: [] }],
    ['esnext', 'bundler', { lib: ['es2024', 'dom'], types: [] }],
    // A program of Node alone has no types of a page.
    ['nodenext', 'nodenext', { lib: ['es2023'], types: ['node'] }],
  ] as const)(
    'type-checked strictly, module %s and resolution %s, with %j',
    { timeout: patience },
    async (module, resolution, known) => {
      await project.write('typed.ts', typedProgram)
      // Whoever asks for laws is asked for fast-check.
      for (const name of ['fast-check', 'pure-rand', '@types/node', 'undici-types'])
        await cp(join(root, 'node_modules', name), join(project.folder, 'node_modules', name), {
          recursive: true,
        })
      const compilerOptions = {
        strict: true,
        target: 'es2024',
        ...known,
        module,
        moduleResolution: resolution,
        noEmit: true,
        skipLibCheck: false,
      }
      await project.write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['typed.ts'] }))
      const tsc = join(root, 'node_modules/typescript/bin/tsc')
      const { stdout } = await project.run('node', tsc, '--pretty', 'false', '--project', '.')
      expect(stdout).toBe('')
    },
  )
})
