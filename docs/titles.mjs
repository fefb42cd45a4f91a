/**
 * A plugin of typedoc: a guide has the title that its first line gives it, and keeps its address, which is its file's name.
 */
import { readFileSync } from 'node:fs'

/** Called by typedoc. */
export function load(app) {
  // The addresses of all pages are known by then; the list of pages is written after it.
  app.renderer.on('beginRender', ({ project }) => {
    for (const guide of project.documents ?? []) {
      const file = project.files.getReflectionPath(guide)
      const [, title] = /^# (.*)$/m.exec(file ? readFileSync(file, 'utf8') : '') ?? []
      if (title) guide.name = title
    }
  })
}
