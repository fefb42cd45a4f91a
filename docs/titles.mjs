/**
 * A plugin of typedoc: a guide has the title that its first line gives it, and keeps its address, which is its file's name; and
 * every page leads to the other pages of the site.
 */
import { readFileSync } from 'node:fs'
import { JSX } from 'typedoc'

/** The other pages of the site (src/web/site), from the folder of the reference. */
const others = {
  Home: '../index.html',
  'Live page': '../live/index.html',
  'Annotated specification': '../spec/index.html',
}

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
  app.renderer.hooks.on('content.begin', (context) =>
    JSX.createElement(
      'nav',
      { class: 'site', 'aria-label': 'Site' },
      ...Object.entries(others).map(([name, page]) =>
        JSX.createElement('a', { href: context.relativeURL(page) }, name),
      ),
    ),
  )
}
