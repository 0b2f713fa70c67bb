module github.com/promoted/promote/deploy/apps/test-app/image

go 1.26

toolchain go1.26.8
