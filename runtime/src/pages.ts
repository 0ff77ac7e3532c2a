import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import express, { type Express } from 'express';
import helmet from 'helmet';

// What the page loads; the package's other files are source maps, other builds, and its version.
const pageFiles: ReadonlySet<string> = new Set([
  '/',
  '/index.html',
  '/index.css',
  '/swagger-ui.css',
  '/swagger-ui-bundle.js',
  '/swagger-ui-standalone-preset.js',
  '/favicon-16x16.png',
  '/favicon-32x32.png',
]);

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
  const files = express.static(folder, { acceptRanges: false });
  app.get(
    '/api-docs/swagger-initializer.js',
    pageHeaders,
    (_req, res) => void res.type('text/javascript').send(pageStart),
  );
  app.use('/api-docs', (req, res, next) => {
    if (!pageFiles.has(req.path)) return next();
    pageHeaders(req, res, (error) => (error === undefined ? files(req, res, next) : next(error)));
  });
}
