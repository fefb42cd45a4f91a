/**
 * Rules of how laws are stated: each is a function from sources to its violations, one line each.
 * `law_rules.spec.ts` applies them to the sources and to planted violations.
 */
import { type Module, type Node, place, walk } from './syntax.ts'

/** The options that limit an arbitrary, and the option that lets it reach each limit. */
const limits: Readonly<Record<string, string>> = {
  maxLength: 'size',
  maxKeys: 'size',
  maxNumElements: 'size',
  maxCommands: 'size',
  maxDepth: 'depthSize',
}

/**
 * An arbitrary with a limit states its size too. Without a size fast-check draws about ten elements at most. A global setting
 * of fast-check changes that, but src/ must not depend on one.
 */
export function limitsAreReached(modules: readonly Module[]): string[] {
  return modules.flatMap((module) => {
    const found: string[] = []
    visitAll(module, (node) => {
      if (node.type !== 'ObjectExpression') return
      const names = (node.properties as Node[]).map((property) => (property.key as Node | undefined)?.name)
      for (const [limit, size] of Object.entries(limits))
        if (names.includes(limit) && !names.includes(size))
          found.push(`${place(module, node.start)}: ${limit} without ${size}`)
    })
    return found
  })
}

/**
 * Only the harness calls `checkLaw`, which takes any arbitraries: a mutant must be judged on the arbitraries of its law. Specs
 * state laws with `law` and `stateLaw`, and judge mutants with `kills`.
 */
export function onlyTheHarnessChecksLaws(modules: readonly Module[]): string[] {
  return modules
    .filter(({ path }) => !path.startsWith('spec/harness/'))
    .flatMap((module) => {
      const found: string[] = []
      visitAll(module, (node) => {
        const names = node.type === 'Identifier' && node.name === 'checkLaw'
        if (names) found.push(`${place(module, node.start)}: checkLaw is named outside spec/harness`)
      })
      return found
    })
}

function visitAll(module: Module, visit: (node: Node) => void): void {
  for (const statement of module.body) walk(statement, visit)
}
