import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, extname, join } from 'node:path';
import type { Express } from 'express';
import helmet from 'helmet';

// What the page loads; the package's other files are source maps, other builds, and its version.
const pageFiles = [
  'index.html',
  'index.css',
  'swagger-ui.css',
  'swagger-ui-bundle.js',
  'swagger-ui-standalone-preset.js',
  'favicon-16x16.png',
  'favicon-32x32.png',
];

const pageHeaders = helmet({
  contentSecurityPolicy: {
    // Helmet's own would have the browser ask for the scripts over TLS, which is not spoken here.
    useDefaults: false,
    // Nothing from elsewhere: without internet nothing is missing, and nobody outside learns that the page was opened.
    directives: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      // Swagger UI writes styles into its elements; its scripts are all files.
      styleSrc: ["'self'", "'unsafe-inline'"],
      // Its arrows stand in its style sheet.
      imgSrc: ["'self'", 'data:'],
      // The document, and what is tried out.
      connectSrc: ["'self'"],
      baseUri: ["'none'"],
      formAction: ["'none'"],
      frameAncestors: ["'none'"],
    },
  },
  // To be said by who speaks TLS: the proxy in front.
  strictTransportSecurity: false,
  xFrameOptions: { action: 'deny' },
});

const pageStart = `window.onload = () => { window.ui = SwaggerUIBundle({ url: '/openapi.json', dom_id: '#swagger-ui',
  deepLinking: true, validatorUrl: null, presets: [SwaggerUIBundle.presets.apis] }); };`;

/** A readable page of the API from a package on disk: it works without internet. */
export function mountPages(app: Express): void {
  const folder = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
  // In memory, 2 MB: a file that is opened for an answer stays open where the answer never has its turn on its line, and
  // whoever asks for many and reads none would take all that a process can open.
  const files = new Map(pageFiles.map((name) => [`/${name}`, readFileSync(join(folder, name))]));
  app.get(
    '/api-docs/swagger-initializer.js',
    pageHeaders,
    (_req, res) => void res.type('text/javascript').send(pageStart),
  );
  app.use('/api-docs', (req, res, next) => {
    const file = files.get(req.path === '/' ? '/index.html' : req.path);
    if (file === undefined || !['GET', 'HEAD'].includes(req.method)) return next();
    pageHeaders(req, res, (error) => {
      if (error !== undefined) return next(error);
      // What the page names is beside it.
      if (req.originalUrl.split('?', 1)[0] === '/api-docs') return res.redirect(301, '/api-docs/');
      const type = req.path === '/' ? '.html' : extname(req.path);
      res.set('cache-control', 'public, max-age=0').type(type).send(file);
    });
  });
}
